"""The web page that the daemon serves: plain files, no build step, nothing fetched from elsewhere."""

from dataclasses import dataclass
from pathlib import Path

STATIC_DIR = Path(__file__).resolve().parent / "static"

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/manifest+json",
}

# Scripts, styles and worklets come from this origin alone, and the page talks to this origin alone.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self' {websocket}; "
        "manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(self), speaker-selection=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page."""

    body: bytes
    content_type: str


def asset(path: str) -> Asset | None:
    """Read the file behind a URL path (``/`` is the page itself), or None where there is none.

    Files are looked up by their names in one flat folder, so no path can lead out of it. A query is ignored.
    """
    name = path.partition("?")[0].removeprefix("/") or "index.html"
    content_type = CONTENT_TYPES.get(Path(name).suffix)
    if content_type is None or name not in {entry.name for entry in STATIC_DIR.iterdir()}:
        return None
    return Asset((STATIC_DIR / name).read_bytes(), content_type)


def headers(host: str) -> dict[str, str]:
    """Headers that go with every file, for a page asked for as ``host`` (the request's Host, may be empty).

    Older Safari does not count websockets as ``'self'``, so the page's own host is named for them. A host
    with characters that a header or a policy could misread is left out.
    """
    plain = bool(host) and all(sign.isalnum() or sign in ".-:[]" for sign in host)
    websocket = f"ws://{host} wss://{host}" if plain else ""
    return {name: value.replace(" {websocket}", f" {websocket}".rstrip()) for name, value in HEADERS.items()}
