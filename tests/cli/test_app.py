"""The frame of the command line: exit codes, one line per error, nothing heavy at start."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from assistant.cli import app
from assistant.errors import AssistantError, UsageError
from tests.cli.conftest import ROOT, Run

HEAVY = ("torch", "torchaudio", "transformers", "numpy", "cv2", "sounddevice", "httpx", "pydantic", "rich")


def test_help_lists_the_verbs(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in ("models", "config", "doctor"))


def test_version(run: Run) -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("vivavoce")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from assistant.cli.app import main; main(['--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("models", "nonsense"), ("--nonsense",), ("models", "path"), ("models", "pull")],
)
def test_usage_errors_are_one_line_and_exit_2(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("vivavoce: ")
    assert done.stderr.count("\n") == 1


def test_unknown_model_is_one_line_with_the_nearest(run: Run) -> None:
    done = run("models", "path", "kokorro")
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean kokoro" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_terminal_encoding_can_show_the_list(run: Run, encoding: str) -> None:
    done = run("models", "list", PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert "kokoro" in done.stdout


def test_closed_pipe_is_silent(tmp_path: Path) -> None:
    command = f"{sys.executable} -m assistant models list --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the command consist of one verb that raises."""

    def build() -> typer.Typer:
        broken = typer.Typer(pretty_exceptions_enable=False)
        broken.callback()(app._options)

        @broken.command()
        def fail() -> None:
            raise error

        return broken

    monkeypatch.setattr(app, "build", build)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (AssistantError("no bread"), 1, "vivavoce: no bread\n"),
        (UsageError("say more"), 2, "vivavoce: say more\n"),
        (KeyError("x"), 1, "vivavoce: unexpected KeyError: 'x' (`vivavoce --traceback …` shows where)\n"),
        (
            ValueError("two\nlines"),
            1,
            "vivavoce: unexpected ValueError: two (`vivavoce --traceback …` shows where)\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    failing(monkeypatch, error)
    assert app.main(["fail"]) == code
    assert capsys.readouterr().err == said


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, KeyError("x"))
    assert app.main(["--traceback", "fail"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err
