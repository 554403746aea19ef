"""One websocket connection: feeds a session and drains its outbox until either side ends it."""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from assistant.protocol.reading import parse
from assistant.server.live import Kit, Live
from assistant.session.errors import Refused

log = logging.getLogger(__name__)
NORMAL, GOING_AWAY, POLICY, TOO_BIG, INTERNAL, RESTART, TRY_LATER = 1000, 1001, 1008, 1009, 1011, 1012, 1013
LEFT_ON_PURPOSE = {NORMAL, GOING_AWAY}  # no such session is kept for a client that comes back


class Hall:
    """All sessions of a daemon: those with a client and those that wait for theirs to come back."""

    def __init__(self, kit: Kit, max_sessions: int) -> None:
        self.kit = kit
        self._max_sessions = max_sessions
        self._live: dict[str, Live] = {}
        self._sockets: dict[str, ServerConnection] = {}
        self._waiting: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    @property
    def busy(self) -> bool:
        """Whether a client that is there waits for something."""
        return any(self._live[name].busy for name in self._sockets if name in self._live)

    def open(self, extended: bool, beta: bool) -> Live | None:
        """Begin a session, or give None when every one is taken."""
        if len(self._live) >= self._max_sessions:
            return None
        live = Live(self.kit, extended, beta)
        self._live[live.id] = live
        self.kit.metrics.opened.inc()
        self._count()
        return live

    def find(self, token: str) -> Live | None:
        """The session that a resume token opens."""
        matches = [live for live in self._live.values() if live.extended and live.resume_token == token]
        return matches[0] if matches and token else None

    async def attach(self, live: Live, socket: ServerConnection) -> None:
        """A connection takes a session over; one that still hangs from before is closed."""
        timer = self._waiting.pop(live.id, None)
        if timer is not None:
            timer.cancel()
        before = self._sockets.get(live.id)
        self._sockets[live.id] = socket
        if before is not None:
            await before.close(POLICY, "resumed elsewhere")

    def detach(self, live: Live, socket: ServerConnection, keep: bool) -> None:
        """A connection has ended; the session waits for the next one, or ends."""
        if self._sockets.get(live.id) is not socket:
            return  # another connection has taken it over
        del self._sockets[live.id]
        if keep and live.extended and not live.failed:
            loop = asyncio.get_running_loop()
            self._waiting[live.id] = loop.call_later(self.kit.resume_window_s, self.end, live)
        else:
            self.end(live)

    def end(self, live: Live) -> None:
        """Free a session."""
        timer = self._waiting.pop(live.id, None)
        if timer is not None:
            timer.cancel()
        if self._live.pop(live.id, None) is not None:
            live.close()
        self._count()

    def end_all(self) -> None:
        """Free every session."""
        for live in list(self._live.values()):
            self.end(live)

    def _count(self) -> None:
        self.kit.metrics.sessions.set(len(self._live))


async def serve_connection(hall: Hall, socket: ServerConnection, query: dict[str, str], beta: bool) -> None:
    """Serve one accepted websocket to its end."""
    if query.get("vivavoce") == "resume":
        live = await _resume(hall, socket)
    else:
        live = hall.open(query.get("vivavoce") == "1", beta)
        if live is None:
            hall.kit.metrics.rejected.labels("full").inc()
            await socket.close(TRY_LATER, "every session is taken")
    if live is None:
        return
    if query.get("vivavoce") != "resume":
        await hall.attach(live, socket)
    log.info("connected", extra={"session": live.id})
    code, reason = await _run(hall, live, socket)
    if code is not None:
        await socket.close(code, reason)
    theirs = socket.close_code
    lost = code is None and theirs not in LEFT_ON_PURPOSE
    hall.detach(live, socket, keep=lost or code == RESTART)
    hall.kit.metrics.closed.labels(str(code or theirs)).inc()
    log.info("disconnected", extra={"session": live.id, "code": code or theirs})


async def _run(hall: Hall, live: Live, socket: ServerConnection) -> tuple[int | None, str]:
    """Read and write until something ends; give the code to close with, or None if the client has left."""
    sender = asyncio.create_task(_send(live, socket), name="session-send")
    reader = asyncio.create_task(_read(hall.kit, live, socket), name="session-read")
    watcher = asyncio.create_task(_watch(hall.kit, live), name="session-watch")
    tasks = (sender, reader, watcher)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    except ConnectionClosed:
        return None, ""
    except Exception:  # the session's edge: log it, tell the client, and let the others live
        log.exception("session failed", extra={"session": live.id})
        live.failed = True
        return INTERNAL, "internal error"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(live: Live, socket: ServerConnection) -> tuple[int | None, str]:
    while True:
        text = await live.outbox.next()
        await socket.send(text)
        live.outbox.sent()
        if live.failed and live.outbox.empty:
            return INTERNAL, "the engine failed"


async def _watch(kit: Kit, live: Live) -> tuple[int | None, str]:
    await live.outbox.overflowed.wait()
    kit.metrics.rejected.labels("slow").inc()
    return TRY_LATER, "reading too slowly"


async def _read(kit: Kit, live: Live, socket: ServerConnection) -> tuple[int | None, str]:
    limits = kit.limits
    while True:
        left_s = live.began + limits.session_s - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(limits.idle_s, left_s))):
                text = await socket.recv()
        except TimeoutError:
            return POLICY, "session too old" if left_s <= limits.idle_s else "idle for too long"
        if isinstance(text, bytes):
            live.refuse(Refused("invalid_json", "Send text messages; binary ones are not read."))
        else:
            live.take(text)


async def _resume(hall: Hall, socket: ServerConnection) -> Live | None:
    """Find the session that the first message asks for, and send what its client has missed."""
    try:
        async with asyncio.timeout(hall.kit.limits.handshake_s):
            message = parse(str(await socket.recv()), hall.kit.limits.json_depth)
    except (TimeoutError, Refused):
        message = {}
    except ConnectionClosed:
        return None
    live, after = hall.find(_text(message.get("resume_token"))), message.get("after")
    good = message.get("type") == "vivavoce.session.resume" and isinstance(after, int) and after >= 0
    if live is None or not good or isinstance(after, bool) or not isinstance(after, int):
        await _no_resume(hall, socket)
        return None
    await hall.attach(live, socket)
    first = live.resume(after)
    if first is None:
        hall.detach(live, socket, keep=True)
        await _no_resume(hall, socket)
        return None
    hall.kit.metrics.resumed.inc()
    await socket.send(first)
    return live


async def _no_resume(hall: Hall, socket: ServerConnection) -> None:
    hall.kit.metrics.rejected.labels("resume").inc()
    error: dict[str, Any] = {
        "type": "invalid_request_error",
        "code": "resume_failed",
        "message": "There is no session to resume with this token and cursor; begin a new one.",
        "param": None,
        "event_id": None,
    }
    try:
        await socket.send(json.dumps({"type": "error", "event_id": "event_0", "error": error}))
    except ConnectionClosed:
        return
    await socket.close(POLICY, "resume failed")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
