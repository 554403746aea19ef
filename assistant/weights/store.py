"""The weights on this machine: present, verified, and fetched when they are missing.

For everyone who needs weights::

    from assistant.weights import store

    store.path("smollm2-135m-instruct", "model.gguf")   # one file
    store.path("whisper-tiny.en")                       # the folder with all files of a model

Both return only what matched its sha256, and download it first (progress bar on standard error) when it is
missing; ``offline=True`` refuses instead. Downloads go to ``cache_dir()/models/<name>/``; files that the
project carries itself are used where they lie, in ``weights/``. A file appears under its name only when it is
whole and right: it is written under another one, hashed, synced and renamed. One lock per model lets several
processes pull at once.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import filelock
import httpx

from assistant.errors import DownloadError, WeightsError
from assistant.paths import WEIGHTS, cache_dir
from assistant.weights import manifest as manifests
from assistant.weights.fetch import Archives
from assistant.weights.manifest import LocalFile, Manifest, ModelFile
from assistant.weights.progress import Reporter, Silent, Terminal
from assistant.weights.registry import Registries

FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


class State(Enum):
    """What is known of a file or a model without hashing it again."""

    VERIFIED = "verified"
    UNCHECKED = "unchecked"  # right size, never hashed since it changed
    DAMAGED = "damaged"  # wrong size, or wrong when it was last hashed
    MISSING = "missing"


def path(name: str, file: str | None = None, *, offline: bool = False) -> Path:
    """Give the path of a model's folder, or of one of its files, whole and verified; fetch what is missing.

    Raises:
        UnknownModel: no manifest has that name.
        WeightsError: the model has no such file, it is not here and ``offline`` is set, or the disk refused.
        DownloadError: no source gave the right bytes.
    """
    with Terminal() as reporter:
        store = Store(reporter=reporter, offline=offline)
        model = manifests.load(name)
        return store.file(model, model.file(file)) if file else store.folder(model)


@dataclass(slots=True)
class Store:
    """The cache of downloads and the project's own ``weights/``."""

    root: Path = field(default_factory=lambda: cache_dir() / "models")
    local: Path = WEIGHTS
    registries: Callable[[], Registries] = Registries.configured
    reporter: Reporter = field(default_factory=Silent)
    offline: bool = False

    def file(self, model: Manifest, file: ModelFile) -> Path:
        """Give one file, verified; pull the model when it is missing."""
        if not self._verify_known(model, file):
            self.pull(model)
        return self.where(model, file)

    def folder(self, model: Manifest) -> Path:
        """Give the folder that holds all files of a model, verified; pull it when one is missing.

        Raises WeightsError when the files of this model lie in different folders: ask for them one by one.
        """
        if not all(self._verify_known(model, file) for file in model.files):
            self.pull(model)
        folders = {_base(self.where(model, file), file) for file in model.files}
        if len(folders) != 1:
            raise WeightsError(f"the files of {model.name} lie in several folders; ask for each by its name")
        return folders.pop()

    def where(self, model: Manifest, file: ModelFile) -> Path:
        """Where a file is, or would be put."""
        for source in file.sources:
            if isinstance(source, LocalFile) and (self.local / source.path).is_file():
                return self.local / source.path
        return self.root / model.name / file.name

    def state(self, model: Manifest, file: ModelFile) -> State:
        """Judge a file by its size and by when it was last hashed; reads no contents."""
        place = self.where(model, file)
        try:
            status = place.stat()
        except OSError:
            return State.MISSING
        if status.st_size != file.size:
            return State.DAMAGED
        seen = self._record(model).get(file.name)
        if seen is None or seen[:2] != [status.st_size, status.st_mtime_ns]:
            return State.UNCHECKED
        return State.VERIFIED if seen[2] == file.sha256 else State.DAMAGED

    def model_state(self, model: Manifest) -> State:
        """The worst state of its files."""
        order = (State.MISSING, State.DAMAGED, State.UNCHECKED, State.VERIFIED)
        states = {self.state(model, file) for file in model.files}
        return next(state for state in order if state in states)

    def verify(self, model: Manifest, file: ModelFile) -> State:
        """Hash a file again and remember the result."""
        place = self.where(model, file)
        try:
            status = place.stat()
            found = _hash(place) if status.st_size == file.size else ""
        except (FileNotFoundError, NotADirectoryError):
            return State.MISSING
        except OSError as error:
            raise WeightsError(f"cannot read {place}: {error.strerror}") from None
        self._remember(model, file, [status.st_size, status.st_mtime_ns, found])
        return State.VERIFIED if found == file.sha256 else State.DAMAGED

    def pull(self, model: Manifest, *, check: bool = False) -> None:
        """Fetch every file of a model that is missing or damaged; ``check`` hashes the others again."""
        if not self._wanted(model, check):
            return
        if self.offline:
            missing = ", ".join(file.name for file in self._wanted(model, False)) or "a damaged file"
            raise WeightsError(
                f"{model.name} is not complete here ({missing}) and fetching is off; pull it when online"
            )
        folder = self.root / model.name
        with _disk(folder):
            downloads = folder / ".downloads"
            downloads.mkdir(parents=True, exist_ok=True)
            with self._locked(folder, model):
                wanted = self._wanted(model, False)  # another process may have been quicker
                if wanted:
                    self._fetch(model, wanted, downloads)

    def _fetch(self, model: Manifest, wanted: list[ModelFile], downloads: Path) -> None:
        archives = Archives(downloads, self.registries(), self.reporter)
        try:
            for file in wanted:
                self._fetch_file(model, file, archives)
        finally:
            archives.close()
        archives.clear()
        with suppress(OSError):
            downloads.rmdir()

    def _fetch_file(self, model: Manifest, file: ModelFile, archives: Archives) -> None:
        reasons = []
        for source in file.sources:
            if isinstance(source, LocalFile):
                reasons.append(self._local_trouble(source))
                continue
            try:
                self._write(model, file, archives.chunks(source))
            except httpx.TransportError as error:
                reasons.append(f"{source}: no connection ({str(error) or type(error).__name__})")
            except httpx.HTTPError as error:
                reasons.append(f"{source}: the server failed ({error})".splitlines()[0])
            except DownloadError as error:
                reasons.append(str(error))
            else:
                return
        raise DownloadError(f"could not get {file.name} of {model.name}: {'; '.join(reasons)}")

    def _write(self, model: Manifest, file: ModelFile, chunks: Iterable[bytes]) -> None:
        """Write, hash, sync, rename: the file is there whole and right, or not at all."""
        target = self.root / model.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        for abandoned in target.parent.glob(
            f".{target.name}.*.tmp"
        ):  # of a process that was killed; the lock is ours
            abandoned.unlink(missing_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with unfinished.open("wb") as out:
                found = _copy(chunks, out.write, file.size)
                out.flush()
                os.fsync(out.fileno())
            if found != file.sha256:
                raise DownloadError(
                    f"{file.name} has sha256 {found[:12]}…, the manifest promises {file.sha256[:12]}…"
                )
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_folder(target.parent)
        status = target.stat()
        self._remember(model, file, [status.st_size, status.st_mtime_ns, found])

    def _local_trouble(self, source: LocalFile) -> str:
        if (self.local / source.path).is_file():
            return f"{source} is not what the manifest promises; restore it from the repository"
        return f"{source} is not there; restore it from the repository"

    def _wanted(self, model: Manifest, check: bool) -> list[ModelFile]:
        if check:
            return [file for file in model.files if self.verify(model, file) is not State.VERIFIED]
        return [file for file in model.files if not self._verify_known(model, file)]

    def _verify_known(self, model: Manifest, file: ModelFile) -> bool:
        state = self.state(model, file)
        return (self.verify(model, file) if state is State.UNCHECKED else state) is State.VERIFIED

    @contextmanager
    def _locked(self, folder: Path, model: Manifest) -> Iterator[None]:
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            self.reporter.note(f"waiting for another process that fetches {model.name}")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _record(self, model: Manifest) -> dict[str, list[object]]:
        try:
            record = json.loads((self.root / model.name / ".verified.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _remember(self, model: Manifest, file: ModelFile, seen: list[object]) -> None:
        """Note what was hashed. A cache that cannot be written only costs hashing again."""
        place = self.root / model.name / ".verified.json"
        unfinished = place.with_name(f".verified.{os.getpid()}.tmp")
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps({**self._record(model), file.name: seen}), encoding="utf-8")
            os.replace(unfinished, place)


def _base(place: Path, file: ModelFile) -> Path:
    """The folder that ``file.name`` is relative to; for a local file of another name, its own folder."""
    depth = len(Path(file.name).parts)
    return place.parents[depth - 1] if place.parts[-depth:] == Path(file.name).parts else place.parent


def _hash(place: Path) -> str:
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(chunks: Iterable[bytes], write: Callable[[bytes], object], limit: int) -> str:
    digest, total = hashlib.sha256(), 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise DownloadError(f"more bytes came than the {limit} that the manifest promises")
        digest.update(chunk)
        write(chunk)
    if total < limit:
        raise DownloadError(f"{total} bytes came, the manifest promises {limit}")
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power cut where the platform lets folders be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into one line that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise WeightsError(
                f"the disk of {folder} is full; free some space or set VIVAVOCE_CACHE to another"
            ) from None
        if error.errno in REFUSED:
            raise WeightsError(
                f"cannot write to {folder} ({error.strerror}); mend it or set VIVAVOCE_CACHE"
            ) from None
        raise
