"""Who may import whom; the layout of the project as a test."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# For each layer: the project layers it may import (its own is always allowed).
ALLOWED: dict[str, set[str]] = {
    "audiocodec": set(),
    "assistant.errors": set(),
    "assistant.paths": set(),
    "assistant.extras": {"assistant.errors"},
    "assistant.audio_files": {"assistant.errors", "audiocodec.numbers"},
    "assistant.weights": {"assistant.errors", "assistant.paths"},
    "assistant.model": {
        "assistant.errors",
        "assistant.extras",
        "assistant.paths",
        "assistant.weights",
        "audiocodec",
    },
    "assistant.session": {"assistant.errors", "audiocodec.numbers"},
    "assistant.protocol": {"assistant.errors", "assistant.session", "audiocodec.numbers"},
    "assistant.engine": {
        "assistant.errors",
        "assistant.extras",
        "assistant.session",
        "assistant.model",
        "audiocodec",
    },
    "assistant.server": {
        "assistant.errors",
        "assistant.session",
        "assistant.protocol",
        "assistant.web",
        "assistant.config",
        "audiocodec.numbers",
    },
    "assistant.web": set(),
    "assistant.config": {"assistant.errors", "assistant.paths"},
    "assistant.client": {
        "assistant.errors",
        "assistant.extras",
        "assistant.session",
        "assistant.config",
        "audiocodec.numbers",
    },
    "assistant.compose": {
        "assistant.errors",
        "assistant.audio_files",
        "assistant.extras",
        "assistant.paths",
        "assistant.config",
        "assistant.weights",
        "assistant.model",
        "assistant.engine",
        "audiocodec",
    },
    "assistant.training": {
        "assistant.errors",
        "assistant.audio_files",
        "assistant.extras",
        "assistant.paths",
        "assistant.weights",
        "assistant.model",
        "assistant.compose",
        "audiocodec",
    },
    "assistant.bench": {
        "assistant.errors",
        "assistant.audio_files",
        "assistant.extras",
        "assistant.paths",
        "assistant.weights",
        "assistant.model",
        "assistant.engine",
        "assistant.compose",
        "assistant.training",
        "assistant.client",
        "assistant.session",
        "assistant.server",
        "assistant.config",
        "audiocodec",
    },
}
TOP = {"assistant.cli", "assistant.__main__", "assistant.__init__"}  # may import everything
NO_TORCH = {
    "assistant.session",
    "assistant.protocol",
    "assistant.server",
    "assistant.web",
    "assistant.client",
}
NO_CLOCK_OR_SOCKET = {"time", "asyncio", "socket", "websockets", "threading", "torch"}  # for the session core


def modules() -> list[tuple[str, Path]]:
    """Name and file of every module."""
    found = []
    for base in (ROOT, ROOT / "codecs"):
        package = "assistant" if base == ROOT else "audiocodec"
        for path in sorted((base / package).rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts)
            found.append((name, path))
    return found


def imports(path: Path) -> set[str]:
    """Full names of everything that a module imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(name: str) -> str:
    """The layer of a module: its first two parts in ``assistant``, else its package."""
    parts = name.split(".")
    return parts[0] if parts[0] == "audiocodec" else ".".join(parts[:2])


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize(
    ("name", "path"), modules(), ids=lambda value: str(value) if isinstance(value, str) else ""
)
def test_module_keeps_to_its_layer(name: str, path: Path) -> None:
    own = layer(name)
    used = imports(path)
    if own not in TOP:
        assert own in ALLOWED, f"{own} is no known layer: add it here with what it may import"
        for target in used:
            if target.split(".")[0] in {"assistant", "audiocodec"}:
                assert within(target, ALLOWED[own] | {own}), f"{name} must not import {target}"
    if own in NO_TORCH:
        assert not within("torch", used), f"{name} must not import torch"
        assert not any(target.startswith("torch.") for target in used), f"{name} must not import torch"
    if own == "assistant.session":
        bad = {target.split(".")[0] for target in used} & NO_CLOCK_OR_SOCKET
        assert not bad, f"{name} is pure and must not import {bad}"


def test_codecs_is_no_package() -> None:
    """An ``__init__.py`` there would shadow Python's own ``codecs``."""
    assert not (ROOT / "codecs" / "__init__.py").exists()


def test_weights_hold_data_only() -> None:
    kinds = {path.suffix for path in (ROOT / "weights").rglob("*") if path.is_file()}
    assert kinds <= {".toml", ".safetensors", ".md", ".json", ".txt"}
