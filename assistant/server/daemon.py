"""The daemon: one port for the page, the probes and the websocket; starts, warms up, drains and stops."""

import asyncio
import http
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from assistant import web
from assistant.config import Limits, ServerSettings
from assistant.errors import AssistantError, ConfigError
from assistant.server.admission import Gate, check_exposure
from assistant.server.connection import RESTART, Hall, serve_connection
from assistant.server.live import Kit
from assistant.server.metrics import Metrics
from assistant.server.warmup import warm_up
from assistant.session.engine import Engine
from assistant.session.vad import VoiceActivity, WebRtcVoice

log = logging.getLogger(__name__)
REALTIME = "/v1/realtime"
BETA_HEADER, BETA_PROTOCOL = "realtime=v1", "openai-beta.realtime-v1"
WARM_UP_S = 120.0
DRAIN_STEP_S = 0.05


class Daemon:
    """Serves one engine. Use: ``await start()``, then ``await stop()``, both on one event loop."""

    def __init__(
        self,
        settings: ServerSettings,
        engine: Engine,
        model: str,
        *,
        sees: bool = False,
        voice: Callable[[], VoiceActivity] = WebRtcVoice,
        resume_window_s: float = 30.0,
        listener: socket.socket | None = None,
    ) -> None:
        """``listener`` is what ``listen`` gave, for a caller that wants the port before the engine."""
        check_exposure(settings)
        self._listener = listener
        self.ready = False
        self._settings, self._engine, self._model = settings, engine, model
        self._sees, self._voice, self._resume_window_s = sees, voice, resume_window_s
        self._gate = Gate(settings)
        self._metrics = Metrics(engine.load)
        self._hall: Hall | None = None
        self._server: Server | None = None
        self._warming: asyncio.Task[None] | None = None
        self._draining = False

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        """Where the page is."""
        scheme = "https" if self._settings.tls_cert else "http"
        host = "localhost" if self._settings.host in {"127.0.0.1", "::1"} else self._settings.host
        return f"{scheme}://{host}:{self.port}/"

    async def start(self) -> None:
        """Listen, and warm the engine up behind it. Raises ConfigError for a port or TLS files of no use."""
        loop = asyncio.get_running_loop()

        def post(function: Callable[..., None], value: Any, at: float) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(function, value, at)

        limits = self._settings.limits
        kit = Kit(
            self._engine,
            self._voice,
            limits,
            self._metrics,
            self._model,
            self._sees,
            post,
            self._resume_window_s,
        )
        self._hall = Hall(kit, self._settings.max_sessions)
        tls = tls_context(self._settings)
        self._server = await serve(
            self._serve,
            sock=self._listener or listen(self._settings),
            ssl=tls,
            process_request=self._request,
            select_subprotocol=self._subprotocol,  # type: ignore[arg-type]  # a list, as documented
            **websocket_options(limits),
        )
        self._warming = asyncio.create_task(self._warm_up(), name="warm-up")
        log.info("listening", extra={"port": self.port})

    async def stop(self, drain_s: float = 10.0) -> None:
        """Take no more clients, let answers end and arrive, tell the clients to come back, and stop."""
        assert self._server is not None
        assert self._hall is not None
        self._draining, self.ready = True, False
        self._server.close(close_connections=False)
        if self._warming is not None:
            self._warming.cancel()
        for _ in range(int(drain_s / DRAIN_STEP_S)):
            if not self._hall.busy:
                break
            await asyncio.sleep(DRAIN_STEP_S)
        sockets = list(self._server.connections)
        await asyncio.gather(*(socket.close(RESTART, "the daemon restarts") for socket in sockets))
        await self._server.wait_closed()
        self._hall.end_all()
        log.info("stopped")

    async def _warm_up(self) -> None:
        try:
            await warm_up(self._engine, WARM_UP_S)
        except AssistantError as error:
            log.error("warm-up failed", extra={"reason": str(error)})
            return
        self.ready = not self._draining
        log.info("ready")

    # ---- requests

    def _subprotocol(self, connection: ServerConnection, offered: list[Subprotocol]) -> Subprotocol | None:
        return Subprotocol("realtime") if "realtime" in offered else None

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain requests, and refuse websockets that may not come in."""
        path = urlsplit(request.path).path
        if path != REALTIME:
            return self._page(path, request)
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        refusal = self._refusal(connection, request.headers)
        if refusal is not None:
            status, reason, text = refusal
            self._metrics.rejected.labels(reason).inc()
            log.info("refused", extra={"reason": reason})
            return answer(status, text)
        return None if upgrade else answer(http.HTTPStatus.UPGRADE_REQUIRED, "This is a websocket.\n")

    def _refusal(
        self, connection: ServerConnection, headers: Headers
    ) -> tuple[http.HTTPStatus, str, str] | None:
        status = http.HTTPStatus
        if not self._gate.key_is_good(headers):
            return status.UNAUTHORIZED, "key", "A key is needed: Authorization: Bearer KEY.\n"
        if not self._gate.origin_is_good(headers):
            return status.FORBIDDEN, "origin", "This origin is not allowed; list it with --origin.\n"
        if self._gate.is_crowded(address(connection)):
            return status.TOO_MANY_REQUESTS, "address", "Too many connections from this address.\n"
        if self._draining:
            return status.SERVICE_UNAVAILABLE, "draining", "The daemon is stopping.\n"
        return None

    def _page(self, path: str, request: Request) -> Response:
        if path == "/healthz":
            return answer(http.HTTPStatus.OK, "ok\n")
        if path == "/readyz":
            if self.ready:
                return answer(http.HTTPStatus.OK, "ready\n")
            return answer(http.HTTPStatus.SERVICE_UNAVAILABLE, "not ready\n")
        if path == "/metrics":
            if not self._gate.key_is_good(request.headers):
                return answer(http.HTTPStatus.UNAUTHORIZED, "A key is needed.\n")
            return answer(http.HTTPStatus.OK, self._metrics.text(), "text/plain; version=0.0.4")
        asset = web.asset(path)
        if asset is None:
            return answer(http.HTTPStatus.NOT_FOUND, "There is nothing here.\n")
        extra = web.headers(request.headers.get("Host", ""))
        return answer(http.HTTPStatus.OK, asset.body, asset.content_type, extra)

    async def _serve(self, socket: ServerConnection) -> None:
        assert self._hall is not None
        assert socket.request is not None
        headers = socket.request.headers
        query = dict(parse_qsl(urlsplit(socket.request.path).query))
        beta = BETA_HEADER in headers.get("OpenAI-Beta", "")
        beta = beta or BETA_PROTOCOL in headers.get("Sec-WebSocket-Protocol", "")
        who = address(socket)
        self._gate.enter(who)
        try:
            await serve_connection(self._hall, socket, query, beta)
        finally:
            self._gate.leave(who)


def listen(settings: ServerSettings) -> socket.socket:
    """Take the port, so that it is known to be free before anything slow is done.

    Raises:
        ConfigError: the address is unknown or taken.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family)
    except socket.gaierror as error:
        raise ConfigError(f"cannot listen on {where}: no such address ({error.strerror})") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"cannot listen on {where}: {reason}; --port takes another") from None


def tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """The certificate and key of the settings; None without them.

    Raises:
        ConfigError: they cannot be read.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the TLS certificate or key cannot be read: {error}") from None
    return context


def websocket_options(limits: Limits) -> dict[str, Any]:
    """How every websocket of the daemon is run."""
    return {
        "compression": None,  # sound does not shrink, and a deflated message may expand a thousandfold
        "max_size": limits.message_bytes,
        "ping_interval": limits.ping_s,
        "ping_timeout": limits.ping_s,
        "open_timeout": limits.handshake_s,
        "server_header": None,
    }


def address(connection: ServerConnection) -> str:
    """The client's address."""
    remote = connection.remote_address
    return str(remote[0]) if remote else "local"


def answer(
    status: http.HTTPStatus,
    body: str | bytes,
    content_type: str = "text/plain; charset=utf-8",
    extra: dict[str, str] | None = None,
) -> Response:
    """A whole HTTP response."""
    data = body.encode() if isinstance(body, str) else body
    headers = Headers()
    headers["Content-Type"] = content_type
    headers["Content-Length"] = str(len(data))
    headers["Connection"] = "close"
    for name, value in (extra or {}).items():
        headers[name] = value
    return Response(status.value, status.phrase, headers, data)
