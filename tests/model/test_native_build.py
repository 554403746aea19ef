"""A machine without a compiler of its own still gets the fast decode step."""

import ctypes
import sys
from pathlib import Path

import pytest

from assistant.model.native import build


def test_the_packaged_compiler_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    assert build.find_compiler() == (sys.executable, "-m", "ziglang", "cc")
    monkeypatch.setenv("VIVAVOCE_CACHE", str(tmp_path))
    library = build.load_library()
    assert isinstance(library, ctypes.CDLL)
    assert [path.suffix for path in (tmp_path / "native").iterdir()] == [".so"]
