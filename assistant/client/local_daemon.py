"""Starts a daemon of its own for a client that was given no address, and stops it afterwards."""

import asyncio
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

import httpx

from assistant.errors import EngineError

READY_S = 180.0  # the first start may fetch and convert weights
STOP_S = 5.0
ASK_EVERY_S = 0.15


@dataclass(frozen=True, slots=True)
class RunningDaemon:
    """A daemon that can be talked to."""

    url: str  # of its websocket
    pid: int | None = None  # unknown where somebody else started it


def free_port() -> int:
    """A port of the loopback address that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def local_daemon(options: Sequence[str] = ()) -> AsyncIterator[RunningDaemon]:
    """Run ``vivavoce serve`` on a free loopback port; gives it once it is warm.

    Raises:
        EngineError: it ended or did not become ready; the text has its last line.
    """
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "assistant",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *options,
    ]
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C is for the client, which then stops the daemon in its own time.
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, start_new_session=True
        )
        try:
            await _ready(process, f"http://127.0.0.1:{port}/readyz", log)
            yield RunningDaemon(f"ws://127.0.0.1:{port}/v1/realtime", process.pid)
        finally:
            await _end(process)


async def _ready(process: Process, url: str, log: IO[bytes]) -> None:
    end_s = time.monotonic() + READY_S
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        while time.monotonic() < end_s:
            if process.returncode is not None:
                raise EngineError(f"the local daemon ended: {_last_line(log)}")
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(ASK_EVERY_S)
    raise EngineError(f"the local daemon was not ready within {READY_S:.0f} s: {_last_line(log)}")


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("vivavoce: ") if lines else "it wrote nothing"


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
