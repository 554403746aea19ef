"""RFC 6455 by the kosoku suite, against an echo behind the daemon's own websocket options."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio import messages
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from assistant.config import Limits
from assistant.paths import cache_dir
from assistant.server.daemon import websocket_options

pytestmark = pytest.mark.clients
KOSOKU = cache_dir() / "clients" / "venv" / "bin" / "kosoku"
DEFLATE = ("12.*", "13.*")  # the daemon never deflates
KNOWN = {"7.1.5"}  # websockets answers it with a close in another order, as its documentation says
GOOD = {"OK", "INFORMATIONAL", "NON-STRICT"}


async def echo(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


@pytest.mark.skipif(not KOSOKU.exists(), reason="run tests/clients/install first")
async def test_conformance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bounds are lifted for it: messages of 16 MiB, and of 65,536 fragments (the library takes 4,096)."""
    monkeypatch.setattr(messages, "MAX_FRAGMENTS", 1 << 17)
    options = websocket_options(Limits(message_bytes=16 << 20))
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        excluded = [word for case in DEFLATE for word in ("-x", case)]
        process = await asyncio.create_subprocess_exec(
            str(KOSOKU),
            f"127.0.0.1:{port}",
            *excluded,
            "-o",
            str(tmp_path),
            stdout=asyncio.subprocess.DEVNULL,
        )
        await process.wait()
    found = json.loads((tmp_path / "index.json").read_text())
    cases = {case: row["behavior"] for agent in found.values() for case, row in agent.items()}
    assert len(cases) > 200
    assert {case for case, behavior in cases.items() if behavior not in GOOD} <= KNOWN
