"""``vivavoce chat`` refuses what it cannot use: one line on standard error, exit code 1 or 2."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--once", "  "], 2, "the text is empty"),
        (["--once", "\udcff"], 2, "not UTF-8"),
        (["--json"], 2, "--json goes with --once"),
        (["--once", "hi", "--model", "smolm2-135m-instruct"], 1, "no model is called"),
        (["--once", "hi", "--model", "kokoro"], 2, "is not a language model"),
        (["--once", "hi", "--model", "/nowhere/x.gguf"], 1, "no weights at /nowhere/x.gguf"),
    ],
)
def test_one_line_and_an_exit_code(run: Run, arguments: list[str], code: int, message: str) -> None:
    done = run("chat", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_cut_short(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x03\x00\x00\x00")
    done = run("chat", "--once", "hi", "--model", str(broken))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{broken} is cut short" in done.stderr
    assert done.stderr.count("\n") == 1
