"""The first call installs, later ones do not; a stand-in for the Python in .venv records its calls."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = """#!/bin/bash
echo "$*" >> "$(dirname "$0")/../asked"
if [ "$2 $3" = "pip install" ]; then
    touch "$(dirname "$0")/../pip-runs"
    while [ -e "$(dirname "$0")/../wait" ]; do sleep 0.01; done
fi
if [ "$2" = assistant ]; then echo "ran ${*:3}"; fi
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the first call needs, with a stand-in for ``.venv/bin/python``."""
    shutil.copytree(ROOT / "bin", tmp_path / "bin")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN)
    python.chmod(0o755)
    return tmp_path


def start(project: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [str(project / "bin" / "vivavoce"), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def call(project: Path, *arguments: str) -> str:
    process = start(project, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def asked(project: Path) -> list[str]:
    log = project / ".venv" / "asked"
    return log.read_text().splitlines() if log.exists() else []


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.005)


def test_first_call_installs_fetches_and_runs_and_the_next_only_runs(project: Path) -> None:
    assert call(project, "models", "list") == "ran models list\n"
    first = asked(project)
    assert any(line.startswith("-m pip install") and "--constraint constraints.txt" in line for line in first)
    assert "-m assistant models pull --needed" in first
    assert call(project, "doctor") == "ran doctor\n"
    assert asked(project)[len(first) :] == ["-m assistant doctor"]


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_changed_dependencies_are_installed(project: Path, changed: str) -> None:
    call(project, "a")
    (project / changed).write_text((project / changed).read_text() + "# more\n")
    call(project, "b")
    assert sum("pip install" in line for line in asked(project)) == 2


def test_extras_are_added_and_kept(project: Path) -> None:
    setup = [str(project / "bin" / "setup")]
    for extra in ("dev", "judges", "dev"):
        subprocess.run([*setup, "--extra", extra], check=True, capture_output=True)
    installs = [line.rsplit(" ", 1)[1] for line in asked(project) if "pip install" in line]
    assert installs == [".[dev]", ".[dev,judges]"]
    call(project, "a")
    assert asked(project)[-1] == "-m assistant a"


def test_symbolic_link_finds_the_project(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "vv"
    link.parent.mkdir()
    link.symlink_to("../bin/vivavoce")
    assert subprocess.run([link, "x"], capture_output=True, text=True, check=True).stdout.endswith("ran x\n")


def test_two_first_calls_at_once_install_once(project: Path) -> None:
    gate = project / ".venv" / "wait"
    gate.touch()
    first = start(project, "one")
    wait_for(project / ".venv" / "pip-runs")
    second = start(project, "two")
    assert second.stderr is not None
    while "waiting" not in (line := second.stderr.readline()):
        assert line, "the second call did not wait"
    gate.unlink()
    assert [process.communicate()[0][-4:] for process in (first, second)] == ["one\n", "two\n"]
    assert sum("pip install" in line for line in asked(project)) == 1


def test_killed_installation_goes_on(project: Path) -> None:
    (project / ".venv" / "wait").touch()
    process = start(project, "one")
    wait_for(project / ".venv" / "pip-runs")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (project / ".venv" / "wait").unlink()
    packages = project / ".venv" / "lib" / "python3.11" / "site-packages"
    for name, record in (("whole", "whole.py,,3\n"), ("half", "half.py,,99\n"), ("unwritten", "")):
        (packages / f"{name}-1.dist-info").mkdir(parents=True)
        (packages / f"{name}.py").write_text("x=1")
        if record:
            (packages / f"{name}-1.dist-info" / "RECORD").write_text(record)
    assert call(project, "two") == "ran two\n"
    assert [path.name for path in packages.glob("*.dist-info")] == ["whole-1.dist-info"]
    assert sum("pip install" in line for line in asked(project)) == 2


def test_failed_installation_says_so_and_does_not_run(project: Path) -> None:
    python = project / ".venv" / "bin" / "python"
    python.write_text(STAND_IN + '[ "$3" != install ]\n')
    process = start(project, "x")
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert "the next call goes on from there" in err


def test_missing_python_is_named(project: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "env"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    done = subprocess.run(
        [str(project / "bin" / "setup")],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "apt install python3" in done.stderr


def load_setup(project: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("project_setup", project / "bin" / "setup.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_missing_venv_module_names_the_package(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project / ".venv")
    setup = load_setup(project)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit) as caught:
        setup._make_venv()
    assert caught.value.code == 1
    assert "-venv" in capsys.readouterr().err
