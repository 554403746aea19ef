"""Install the project into ``.venv`` with the pinned versions; standard library only, one run at a time.

A stamp, ``.venv/.installed``, holds the checksum of what was asked for and the extras that are in; it is
written last. While packages are being changed a marker lies beside it, and the next run after an interruption
takes half-written packages' records away, so that pip puts these packages in again.
"""

import argparse
import csv
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed"
MARKER = VENV / ".installing"


def main() -> int:
    """Install what is missing; 0 when everything asked for is in place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", action="append", default=[], help="optional group of dependencies")
    parser.add_argument("--weights", action="store_true", help="fetch the weights that the assistant needs")
    wanted = parser.parse_args()
    try:
        with (ROOT / ".setup.lock").open("w") as lock:
            _lock(lock.fileno())
            extras = set(wanted.extra)
            if _is_current(extras):
                return 0
            _make_venv()
            _install(extras)
            if wanted.weights:
                _fetch_weights()
    except subprocess.CalledProcessError as error:
        return _refuse(
            f"the installation stopped (exit code {error.returncode}); the next call goes on from there"
        )
    except OSError as error:
        return _refuse(f"cannot install into {VENV}: {error.strerror or error}")
    except KeyboardInterrupt:
        return _refuse("interrupted; the next call goes on from there")
    return 0


def _refuse(text: str) -> int:
    print(f"vivavoce: {text}", file=sys.stderr)
    return 1


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("vivavoce: another call is installing; waiting for it", file=sys.stderr)
        fcntl.flock(handle, fcntl.LOCK_EX)


def _checksum() -> str:
    """The same line as ``cat pyproject.toml constraints.txt | cksum``, which bin/vivavoce compares."""
    text = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "constraints.txt").read_bytes()
    return subprocess.run(["cksum"], input=text, capture_output=True, check=True).stdout.decode().strip()


def _stamp() -> tuple[str, set[str]]:
    try:
        checksum, _, extras = STAMP.read_text().partition("\n")
    except OSError:
        return "", set()
    return checksum, set(extras.split())


def _is_current(extras: set[str]) -> bool:
    checksum, installed = _stamp()
    return os.access(PYTHON, os.X_OK) and checksum == _checksum() and extras <= installed


def _make_venv() -> None:
    if os.access(PYTHON, os.X_OK):
        works = (
            subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode
            == 0
        )
        if works:
            return
    try:
        import ensurepip  # noqa: F401  missing on Debian without its package
        import venv
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        sys.exit(_refuse(f"Python's venv module is missing: sudo apt install python{version}-venv"))
    shutil.rmtree(VENV, ignore_errors=True)
    print(f"vivavoce: making {VENV}", file=sys.stderr)
    venv.create(VENV, with_pip=True)


def _install(extras: set[str]) -> None:
    checksum, installed = _stamp()
    if MARKER.exists():
        _drop_half_installed()
    if checksum == _checksum():
        extras = extras | installed
    STAMP.unlink(missing_ok=True)
    MARKER.touch()
    wanted = f".[{','.join(sorted(extras))}]" if extras else "."
    print(f"vivavoce: installing {wanted} into .venv; the first time that is several GB", file=sys.stderr)
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--constraint", "constraints.txt", "--editable", wanted]
    subprocess.run(command, cwd=ROOT, check=True)
    unfinished = STAMP.with_name(f"{STAMP.name}.{os.getpid()}")
    unfinished.write_text(f"{_checksum()}\n{' '.join(sorted(extras))}\n")
    os.replace(unfinished, STAMP)
    MARKER.unlink(missing_ok=True)


def _drop_half_installed() -> None:
    """Take away the record of each package whose files are not all there; pip then installs it again."""
    for packages in VENV.glob("lib/python*/site-packages"):
        for leftover in packages.glob("~*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for record in packages.glob("*.dist-info"):
            if not _is_whole(packages, record / "RECORD"):
                print(
                    f"vivavoce: {record.stem} was left half installed; installing it again", file=sys.stderr
                )
                shutil.rmtree(record)


def _is_whole(packages: Path, record: Path) -> bool:
    try:
        rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
        return all((packages / row[0]).stat().st_size == int(row[2]) for row in rows if row and row[2])
    except (OSError, ValueError, IndexError):
        return False


def _fetch_weights() -> None:
    """Fetch the weights; without a network the commands that need them say so later."""
    if subprocess.run(
        [PYTHON, "-m", "assistant", "models", "pull", "--needed"], cwd=ROOT, check=False
    ).returncode:
        print(
            "vivavoce: the weights are not complete yet; `bin/vivavoce models pull --needed` goes on",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())
