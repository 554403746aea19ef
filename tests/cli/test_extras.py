"""What is imported on demand, and that the live path does without it."""

import subprocess
import sys
from pathlib import Path

import pytest

from assistant.errors import DependencyError
from assistant.extras import require
from tests.cli.conftest import ROOT

LIVE = ("cli", "client", "engine", "model", "protocol", "server", "session", "weights", "web")
BROKEN = ("torchaudio", "encodec", "vocos", "sounddevice")

BLOCK = """
import importlib, sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {broken!r}:
            raise OSError(f"{{name}}: undefined symbol")
sys.meta_path.insert(0, Broken())
for name in {names!r}:
    importlib.import_module(name)
"""


def live_modules() -> list[str]:
    """Every module that serve, talk or ask may import."""
    files = [path for layer in LIVE for path in sorted((ROOT / "assistant" / layer).rglob("*.py"))]
    files += [path for path in (ROOT / "assistant").glob("*.py") if path.name != "__main__.py"]
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in files]
    return [".".join(part for part in path if part != "__init__") for path in parts]


def test_live_path_imports_none_of_the_fragile_packages() -> None:
    code = BLOCK.format(broken=set(BROKEN), names=live_modules())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "codecs"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise OSError('libx.so: undefined symbol: f\\nmore')", "undefined symbol: f"),
        ("import torchaudio_missing", "No module named"),
        ("raise RuntimeError('operator does not exist')", "operator"),
    ],
)
def test_broken_package_is_one_line_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    (tmp_path / "vocos.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "vocos", raising=False)
    with pytest.raises(DependencyError, match=reason) as caught:
        require("vocos")
    assert "pip install -c constraints.txt torch torchaudio" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_loads_is_given() -> None:
    assert require("json").loads("1") == 1


def test_serve_tells_at_once_that_it_cannot_hear_when_speech_ends(tmp_path: Path) -> None:
    """Before any weights are read: not at the first conversation."""
    (tmp_path / "webrtcvad.py").write_text("raise ModuleNotFoundError(\"No module named 'pkg_resources'\")\n")
    code = "from assistant.cli.app import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, "serve", "--port", "0"],
        cwd=ROOT,
        env={
            "PYTHONPATH": f"{tmp_path}:{ROOT}:{ROOT / 'codecs'}",
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "webrtcvad does not load (No module named 'pkg_resources')" in done.stderr
    assert "webrtcvad-wheels" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
