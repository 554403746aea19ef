"""``vivavoce doctor``: look at this machine and say what is missing and how to mend it."""

import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

OK, WARN, FAIL = "ok", "limited", "broken"
FREE_BYTES = 2 << 30  # weights, caches and some room
# Modules by what falls away without them; needed ones break every live command.
NEEDED = {
    "torch": "the model",
    "numpy": "the model",
    "websockets": "the daemon",
    "webrtcvad": "hearing when speech ends",
    "cv2": "seeing",
}
OPTIONAL = {
    "torchaudio": "public codecs and training",
    "encodec": "the EnCodec codec",
    "vocos": "public vocoders and training the own one",
    "sounddevice": "`talk` with this machine's microphone",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    state: str
    detail: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
    """Check this machine: packages, weights, disk, port. Exit code 1 when something needed is broken."""
    checks = list(examine())
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _print(checks)
    return 1 if any(check.state == FAIL for check in checks) else 0


def examine() -> Iterator[Check]:
    """Look at one thing after the other."""
    yield _python()
    for modules, bad in ((NEEDED, FAIL), (OPTIONAL, WARN)):
        for name, purpose in modules.items():
            yield _module(name, purpose, bad)
    yield _gpu()
    yield from _cache()
    yield from _weights()
    yield _port()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", OK, f"{version} at {sys.executable}")


def _module(name: str, purpose: str, bad: str) -> Check:
    from assistant.errors import DependencyError
    from assistant.extras import require

    try:
        module = require(name)
    except DependencyError as error:
        what, _, fix = str(error).partition("; ")
        return Check(name, bad, f"{what}: no {purpose.removeprefix('the ')}", fix)
    return Check(name, OK, str(getattr(module, "__version__", "loads")))


def _gpu() -> Check:
    from assistant.errors import DependencyError
    from assistant.extras import require

    try:
        cuda = require("torch").cuda
    except DependencyError:
        return Check("gpu", WARN, "unknown, torch does not load")
    if not cuda.is_available():
        return Check("gpu", OK, "none: the CPU is used")
    return Check("gpu", OK, str(cuda.get_device_name()))


def _cache() -> Iterator[Check]:
    from assistant.paths import cache_dir

    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fix = "mend its permissions or set VIVAVOCE_CACHE to another folder"
        yield Check("cache", FAIL, f"cannot write {folder}: {error.strerror}", fix)
        return
    yield Check("cache", OK, str(folder))
    free = shutil.disk_usage(folder).free
    enough = free >= FREE_BYTES
    fix = "" if enough else "free some space or set VIVAVOCE_CACHE to another disk"
    yield Check("disk", OK if enough else WARN, f"{free / 1e9:.1f} GB free", fix)


def _weights() -> Iterator[Check]:
    from assistant.errors import AssistantError
    from assistant.weights import manifest
    from assistant.weights.store import State, Store

    store = Store()
    try:
        needed = [model for model in manifest.load_all() if model.needed]
        for model in needed:
            states = {store.verify(model, file) for file in model.files}
            good = states == {State.VERIFIED}
            detail = "verified" if good else ", ".join(sorted(state.value for state in states))
            fix = "" if good else f"vivavoce models pull {model.name}"
            yield Check(f"weights {model.name}", OK if good else FAIL, detail, fix)
    except AssistantError as error:
        yield Check("weights", FAIL, str(error))


def _port() -> Check:
    from assistant.config import load
    from assistant.errors import ConfigError

    try:
        server = load().server
    except ConfigError as error:
        return Check("settings", FAIL, str(error), "mend the file or the variable")
    try:
        with socket.create_server((server.host, server.port)):
            pass
    except OSError as error:
        fix = "stop what uses it, or `vivavoce serve --port` another"
        return Check("port", WARN, f"{server.host}:{server.port}: {error.strerror}", fix)
    return Check("port", OK, f"{server.host}:{server.port} is free")


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    colours = {OK: "green", WARN: "yellow", FAIL: "red"}
    table = Table("what", "state", "found", "what to do")
    for check in checks:
        state = f"[{colours[check.state]}]{check.state}[/]"
        table.add_row(check.name, state, escape(check.detail), escape(check.fix))
    Console().print(table)
