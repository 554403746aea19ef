"""The connection of the native client: opens it, keeps it, takes it up again where it broke."""

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from assistant.errors import AssistantError, ConfigError, SessionFull, UsageError

FIRST_WAIT_S = 0.25
LAST_WAIT_S = 8.0
GIVE_UP_S = 120.0  # without a connection
HANDSHAKE_S = 10.0
MAX_MESSAGE_BYTES = 8 << 20
FULL, REFUSED, HEALTHY = 1013, 1008, 1000

Event = dict[str, Any]


class LinkLost(AssistantError):
    """The daemon cannot be reached, or ended the session."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the daemon is and how to get in."""

    url: str
    token: str | None = None
    tls: ssl.SSLContext | None = None

    def with_query(self, query: str) -> str:
        """The websocket's URL with a query."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def address(url: str, token: str | None = None, ca_file: str | None = None) -> Address:
    """Check and complete what a person typed: ``host:port``, ``http(s)://…`` or ``ws(s)://…``.

    Raises:
        UsageError: it is no such address.
        ConfigError: the file with the certificate cannot be used.
    """
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(
            f"--url {url!r} is no address of a daemon; expected ws://HOST:PORT or wss://HOST:PORT"
        )
    path = parts.path if parts.path not in ("", "/") else "/v1/realtime"
    scheme = schemes[parts.scheme]
    tls = None
    if scheme == "wss":
        try:
            tls = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"cannot use the certificate {ca_file}: {error}") from error
    return Address(urlunsplit((scheme, parts.netloc, path, "", "")), token, tls)


def wait_before(attempt: int, chance: float) -> float:
    """Seconds before the n-th new attempt (from 0); ``chance`` in [0, 1) spreads many clients out."""
    return min(LAST_WAIT_S, FIRST_WAIT_S * 2.0**attempt) * (0.75 + 0.25 * chance)


class Link:
    """One lasting session over many sockets.

    ``status`` is told ``open``, ``reconnecting`` and ``renewed`` (a new session had to begin after a loss).
    """

    def __init__(self, place: Address, status: Callable[[str], None]) -> None:
        self._place = place
        self._status = status
        self._socket: ClientConnection | None = None
        self._token: str | None = None
        self._window_s = 0.0
        self._seq = 0
        self._served = False

    @property
    def is_open(self) -> bool:
        """Whether events can be sent now."""
        return self._socket is not None

    async def send(self, event: Event) -> bool:
        """Send an event; False when there is no connection to send it on."""
        if self._socket is None:
            return False
        try:
            await self._socket.send(json.dumps(event))
        except ConnectionClosed:
            return False  # ``events`` notices too, and reconnects
        return True

    async def close(self) -> None:
        """End the session."""
        socket, self._socket, self._token = self._socket, None, None
        if socket is not None:
            await socket.close(HEALTHY)

    async def events(self) -> AsyncIterator[Event]:
        """Give the daemon's events until the session ends, across lost connections.

        Raises:
            LinkLost: no daemon answers, or it ended the session.
            SessionFull: it has no free session.
            ConfigError: it wants another key.
        """
        lost_s, attempt = time.monotonic(), 0
        while True:
            try:
                async for event in self._one_socket(lost_s):
                    lost_s, attempt = time.monotonic(), 0
                    yield event
                return
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as error:
                self._judge(error)
                reason = str(error) or type(error).__name__
            finally:
                self._socket = None
            if not self._served and attempt >= 2:
                raise LinkLost(
                    f"no daemon answers at {self._place.url} ({reason}); is `vivavoce serve` running?"
                )
            if time.monotonic() - lost_s > GIVE_UP_S:
                raise LinkLost(f"the connection to {self._place.url} was lost ({reason})")
            if attempt == 0 and self._served:
                self._status("reconnecting")
            await asyncio.sleep(wait_before(attempt, random.random()))
            attempt += 1

    async def _one_socket(self, lost_s: float) -> AsyncIterator[Event]:
        resuming = self._token is not None and time.monotonic() - lost_s < self._window_s
        headers = {"Authorization": f"Bearer {self._place.token}"} if self._place.token else {}
        try:
            socket = await connect(
                self._place.with_query("vivavoce=resume" if resuming else "vivavoce=1"),
                additional_headers=headers,
                ssl=self._place.tls,
                max_size=MAX_MESSAGE_BYTES,
                compression=None,
                open_timeout=HANDSHAKE_S,
            )
        except InvalidURI as error:
            raise UsageError(f"{self._place.url} is no address of a daemon: {error}") from error
        async with socket:
            if resuming:
                resume = {"type": "vivavoce.session.resume", "resume_token": self._token, "after": self._seq}
                await socket.send(json.dumps(resume))
            async for message in socket:
                event: Event = json.loads(message)
                if self._admit(event, socket):
                    yield event
        if self._socket is not None and socket.close_code != HEALTHY:
            raise ConnectionResetError(socket.close_reason or f"closed with {socket.close_code}")

    def _admit(self, event: Event, socket: ClientConnection) -> bool:
        """Keep the books of the session; False for what is nobody else's business."""
        self._seq = event.get("server_event_seq", self._seq)
        if event["type"] == "session.created":
            extension = event.get("vivavoce") or event.get("session", {}).get("vivavoce") or {}
            self._token = extension.get("resume_token")
            self._window_s = float(extension.get("resume_window_s", 0))
            renewed, self._served = self._served, True
            self._socket = socket
            self._status("renewed" if renewed else "open")
        elif event["type"] == "vivavoce.session.resumed":
            self._token = event["resume_token"]
            self._socket = socket
            self._status("open")
        elif event["type"] == "error" and event["error"].get("code") == "resume_failed":
            self._token = None  # the socket is about to close; the next attempt begins a new session
            return False
        return True

    def _judge(self, error: Exception) -> None:
        """Raise what another attempt cannot mend."""
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            if status == 401:
                raise ConfigError("the daemon wants a key: --token-file FILE, or VIVAVOCE_TOKEN") from error
            if status in (403, 404):
                raise LinkLost(f"{self._place.url} refuses the connection (HTTP {status})") from error
        if isinstance(error, ConnectionClosed) and error.rcvd is not None:
            reason = error.rcvd.reason or "the daemon ended the session"
            if error.rcvd.code == FULL and not self._served:
                raise SessionFull("every session of the daemon is taken; try again later") from error
            if error.rcvd.code == REFUSED and self._token is not None:
                raise LinkLost(reason) from error
