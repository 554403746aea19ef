"""Build the C decoder once for this processor and keep it in the cache.

Without a compiler nothing is lost but speed: the caller then streams on PyTorch's own operations.
"""

import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from assistant.errors import DependencyError
from assistant.paths import cache_dir

SOURCE = Path(__file__).with_name("decode.c")
COMPILERS = ("cc", "gcc", "clang")
# What lets loops over floats become vectors, without leave to reorder or fuse sums: results are the same for
# any batch. Not -ffast-math: linking with it changes the rounding of tiny numbers in the whole process.
FLAGS = (
    *("-O3", "-std=gnu11", "-fPIC", "-shared", "-pthread"),
    *(
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fno-signed-zeros",
        "-ffinite-math-only",
        "-ffp-contract=off",
    ),
)
TARGETS = ("-march=native", "-mcpu=native", "")  # the first that the compiler takes
BUILD_TIMEOUT_S = 120


def find_compiler() -> tuple[str, ...] | None:
    """Give the command of a C compiler, None if there is none. ``CC`` names another.

    A machine without one has the compiler that the package ``ziglang`` carries.
    """
    for name in (os.environ.get("CC"), *COMPILERS):
        found = shutil.which(name) if name else None
        if found:
            return (found,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    return None


def _processor() -> str:
    """Name the instruction sets that a library built here may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def load_library() -> ctypes.CDLL:
    """Build, or find built, and load the library.

    Raises:
        DependencyError: no compiler, or it fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise DependencyError(
            "no C compiler for the fast CPU decoder: install gcc or clang (it is built once)"
        )
    text = b"".join(path.read_bytes() for path in sorted(SOURCE.parent.glob("*.[ch]")))
    key = hashlib.sha256(text + f"{FLAGS}{TARGETS}{compiler}{_processor()}".encode()).hexdigest()[:16]
    path = cache_dir() / "native" / f"decode-{key}.so"
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            _build(compiler, path)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise DependencyError(f"the fast CPU decoder at {path} cannot be used: {error}") from error


def _build(compiler: tuple[str, ...], path: Path) -> None:
    """Compile beside the target and move into place, so that no half file is ever loaded."""
    message = ""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / "decode.so"
        for target in TARGETS:
            command = [*compiler, *FLAGS, *([target] if target else []), str(SOURCE), "-o", str(built), "-lm"]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise DependencyError(f"{compiler[0]} took more than {BUILD_TIMEOUT_S} s") from error
            if done.returncode == 0:
                built.replace(path)
                return
            message = (
                done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"
            )
    raise DependencyError(f"{compiler[0]} cannot build the fast CPU decoder: {message}")
