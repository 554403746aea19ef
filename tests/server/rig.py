"""A daemon around the fake model on a free port, and a client that speaks plain JSON."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect

from assistant.config import Limits, ServerSettings
from assistant.engine.worker import Worker
from assistant.server.daemon import Daemon
from assistant.server.keys import digest
from tests.fakes import FakeOmni, LoudVoice

Message = dict[str, Any]
PATIENCE_S = 10.0  # for a test that would wait for ever


@asynccontextmanager
async def daemon(
    model: FakeOmni | None = None, keys: tuple[str, ...] = (), resume_window_s: float = 30.0, **settings: Any
) -> AsyncIterator[Daemon]:
    """Start a daemon and stop it."""
    engine = Worker(model or FakeOmni())
    limits = settings.pop("limits", Limits())
    tokens = tuple(SecretStr(digest(key)) for key in keys)
    server = ServerSettings(port=0, tokens=tokens, limits=limits, **settings)
    running = Daemon(server, engine, "fake", voice=LoudVoice, resume_window_s=resume_window_s)
    await running.start()
    assert running._warming is not None
    await running._warming
    try:
        yield running
    finally:
        await running.stop(0.2)
        engine.close()


class Client:
    """One websocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[Message] = []

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def next(self) -> Message:
        async with asyncio.timeout(PATIENCE_S):
            message: Message = json.loads(await self.socket.recv())
        self.seen.append(message)
        return message

    async def until(self, kind: str) -> Message:
        """Read on until an event of this type has come."""
        while True:
            message = await self.next()
            if message["type"] == kind:
                return message

    async def sound(self, pcm: bytes, **fields: Any) -> None:
        """Append sound in packets of 100 ms."""
        for at in range(0, len(pcm), 4_800):
            audio = base64.b64encode(pcm[at : at + 4_800]).decode()
            await self.send("input_audio_buffer.append", audio=audio, **fields)

    async def type(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        await self.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": content}
        )

    async def ask(self, text: str, **response: Any) -> Message:
        """A text turn; gives response.done."""
        await self.type(text)
        await self.send("response.create", response=response)
        done = await self.until("response.done")
        await self.until("rate_limits.updated")
        return done["response"]

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.seen]


@asynccontextmanager
async def client(running: Daemon, query: str = "", **options: Any) -> AsyncIterator[Client]:
    """Connect; reads the greeting unless the query resumes."""
    url = f"ws://127.0.0.1:{running.port}/v1/realtime?model=fake{query}"
    async with connect(url, max_size=None, **options) as socket:
        found = Client(socket)
        if "resume" not in query:
            await found.until("conversation.created")
        yield found
