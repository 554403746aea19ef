"""A small stand-in for the daemon: serves the page and talks by a script, with no model behind it."""

import asyncio
import base64
import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from assistant import web

SAMPLE_RATE = 24_000
PIECE_MS = 160
ANSWER = (
    "Of course. The kettle whistles, the cat pretends not to hear it, and somewhere a radio hums a tune "
    "that nobody in the house can name."
)
SPEECH_LEVEL = 500  # root mean square of int16 samples
STOP_SILENCE_MS = 300


def speech_like(seconds: float) -> tuple[bytes, np.ndarray]:
    """Sound with the rhythm of speech (int16), and mel frames that look like it ((frames, 100) uint8)."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * time) * 0.8 + 0.5, 0, 1) ** 1.5
    pitch = 150 + 25 * np.sin(2 * np.pi * 0.6 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    pcm = syllables * sum(np.sin(k * phase) / k for k in range(1, 8)) * 7_000
    frames = np.arange(int(seconds * 100))
    band = np.arange(100)[None, :]
    at = frames[:, None] / 100
    envelope = np.clip(np.sin(2 * np.pi * 2.1 * at) * 0.8 + 0.5, 0, 1)
    formants = (
        0.95 * np.exp(-(((band - 14 - 6 * np.sin(3.1 * at)) / 6.0) ** 2))
        + 0.85 * np.exp(-(((band - 36 - 10 * np.sin(2.3 * at + 1)) / 7.0) ** 2))
        + 0.6 * np.exp(-(((band - 60 - 6 * np.sin(1.7 * at + 2)) / 8.0) ** 2))
        + 0.35 * np.clip(np.sin(2 * np.pi * 1.05 * at + 1.3), 0, 1) * np.exp(-(((band - 82) / 10.0) ** 2))
    )
    harmonics = 0.82 + 0.18 * np.cos(band * 1.9)
    mel = np.clip(0.2 + 0.75 * envelope * formants * harmonics, 0, 1)
    return pcm.astype("<i2").tobytes(), (mel * 255).astype(np.uint8)


def _realtime(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((name for name in offered if name == "realtime"), None)


class StandIn:
    """Runs on a thread of its own; ``url`` is where the page is. What clients sent is in ``received``."""

    def __init__(
        self,
        token: str | None = None,
        answer_s: float = 6.0,
        listen: bool = True,
        sound: tuple[bytes, np.ndarray] | None = None,
    ) -> None:
        self.token = token
        self.sound = sound or speech_like(answer_s)
        self.listen = listen
        self.received: list[dict[str, Any]] = []
        self.connections = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._talk: _Talk | None = None
        self._talks: list[_Talk] = []
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)

    def __enter__(self) -> "StandIn":
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Events of one type that clients sent so far."""
        return [event for event in list(self.received) if event["type"] == kind]

    def drop(self) -> None:
        """Break the connection without a word."""
        self._loop.call_soon_threadsafe(lambda: self._talk and self._talk.drop())

    def forget(self) -> None:
        """Lose the session too, as after a restart."""
        self._loop.call_soon_threadsafe(lambda: self._talk and setattr(self._talk, "resume_token", "gone"))

    def interrupt(self) -> None:
        """Hear the user while an answer sounds; the microphone itself is not listened to from then on."""
        self.listen = False
        self._loop.call_soon_threadsafe(lambda: self._talk and self._talk.user_starts())

    def send(self, event: dict[str, Any]) -> None:
        """Send any event."""
        self._loop.call_soon_threadsafe(lambda: self._talk and self._talk.emit(event))

    def ask(self, transcript: str) -> None:
        """Behave as if the user had just said something."""
        self._loop.call_soon_threadsafe(lambda: self._talk and self._talk.user_said(transcript))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with serve(
            self._handle, "127.0.0.1", 0, process_request=self._request, select_subprotocol=_realtime
        ) as server:
            self.url = f"http://localhost:{server.sockets[0].getsockname()[1]}/"
            self._ready.set()
            await self._stop.wait()
            for connection in list(server.connections):
                connection.transport.abort()
        for talk in self._talks:
            if talk.answer is not None:
                talk.answer.cancel()
                await asyncio.gather(talk.answer, return_exceptions=True)

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path == "/v1/realtime":
            if self.token and not self._allowed(request.headers):
                return connection.respond(HTTPStatus.UNAUTHORIZED, "a key is needed\n")
            if "Upgrade" not in request.headers:
                return connection.respond(HTTPStatus.UPGRADE_REQUIRED, "this is a websocket\n")
            return None
        asset = web.asset(path)
        if asset is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "nothing here\n")
        headers = Headers({"Content-Type": asset.content_type, "Content-Length": str(len(asset.body))})
        headers.update(web.headers(request.headers.get("Host", "")))
        return Response(HTTPStatus.OK, "OK", headers, asset.body)

    def _allowed(self, headers: Headers) -> bool:
        offered = headers.get("Sec-WebSocket-Protocol", "") + headers.get("Authorization", "")
        return self.token is None or self.token in offered

    async def _handle(self, socket: ServerConnection) -> None:
        self.connections += 1
        assert socket.request is not None
        mode = parse_qs(urlsplit(socket.request.path).query).get("vivavoce", [""])[0]
        try:
            if mode == "resume":
                first = json.loads(await socket.recv())
                if self._talk is None or first["resume_token"] != self._talk.resume_token:
                    error = {
                        "type": "invalid_request_error",
                        "code": "resume_failed",
                        "message": "unknown session",
                    }
                    await socket.send(json.dumps({"type": "error", "error": error}))
                    await socket.close(1008)
                    return
                self.received.append(first)
                talk = self._talk
                talk.take_up(socket, first["after"])
            else:
                talk = self._talk = _Talk(self)
                self._talks.append(talk)
                talk.begin(socket)
            async for message in socket:
                event = json.loads(message)
                self.received.append(event)
                talk.hear(event)
        except ConnectionClosed:
            pass


class _Talk:
    """One session's side of the script."""

    def __init__(self, owner: StandIn) -> None:
        self.owner = owner
        self.ids = itertools.count(1)
        self.resume_token = "token-0"
        self.kept: list[dict[str, Any]] = []
        self.socket: ServerConnection | None = None
        self.speaking = False
        self.sent_samples = 0
        self.last_speech = 0
        self.answer: asyncio.Task[None] | None = None
        self.current: dict[str, str] | None = None
        self.turn_detection = True
        self.tasks: set[asyncio.Task[None]] = set()

    def begin(self, socket: ServerConnection) -> None:
        self.socket = socket
        extension = {"resume_token": self.resume_token, "resume_window_s": 30, "mel_bins": 100, "sees": False}
        self.emit({"type": "session.created", "session": {"type": "realtime"}, "vivavoce": extension})

    def take_up(self, socket: ServerConnection, after: int) -> None:
        self.socket = socket
        self.resume_token = f"token-{next(self.ids)}"
        again = [event for event in self.kept if event["server_event_seq"] > after]
        self._write(
            {"type": "vivavoce.session.resumed", "resume_token": self.resume_token, "replayed": len(again)}
        )
        for event in again:
            self._write(event)

    def drop(self) -> None:
        if self.socket:
            self.socket.transport.abort()
            self.socket = None

    def emit(self, event: dict[str, Any]) -> None:
        event = {"event_id": f"event_{next(self.ids)}", "server_event_seq": len(self.kept) + 1, **event}
        self.kept.append(event)
        self._write(event)

    def _write(self, event: dict[str, Any]) -> None:
        if self.socket is None:
            return
        task = asyncio.ensure_future(self._send(self.socket, json.dumps(event)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _send(self, socket: ServerConnection, text: str) -> None:
        with suppress(ConnectionClosed):
            await socket.send(text)

    def hear(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "input_audio_buffer.append":
            self._hear_audio(base64.b64decode(event["audio"]))
        elif kind == "session.update":
            self.turn_detection = event["session"]["audio"]["input"]["turn_detection"] is not None
            self.emit({"type": "session.updated", "session": event["session"]})
        elif kind == "input_audio_buffer.commit":
            self._commit("What I said while I held the key.")
        elif kind == "conversation.item.create":
            item = {"id": f"item_{next(self.ids)}", "status": "completed", **event["item"]}
            self.emit({"type": "conversation.item.added", "item": item})
        elif kind == "response.create":
            self._answer()
        elif kind == "response.cancel":
            self._cancel("client_cancelled")
        elif kind == "conversation.item.truncate":
            fields = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
            self.emit({"type": "conversation.item.truncated", **fields})

    def _hear_audio(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, "<i2").astype(float)
        self.sent_samples += len(samples)
        if not self.owner.listen or not self.turn_detection or not len(samples):
            return
        if np.sqrt((samples**2).mean()) > SPEECH_LEVEL:
            self.last_speech = self.sent_samples
            if not self.speaking:
                self.user_starts()
        elif self.speaking and self._ms(self.sent_samples - self.last_speech) > STOP_SILENCE_MS:
            self.user_said("What do you hear in the kitchen?")

    def user_starts(self) -> None:
        self.speaking = True
        self.emit(
            {
                "type": "input_audio_buffer.speech_started",
                "item_id": "next",
                "audio_start_ms": self._ms(self.sent_samples),
            }
        )
        self._cancel("turn_detected")

    def user_said(self, transcript: str) -> None:
        self.speaking = False
        self.last_speech = self.last_speech or max(0, self.sent_samples - SAMPLE_RATE // 5)
        self.emit(
            {
                "type": "input_audio_buffer.speech_stopped",
                "item_id": "next",
                "audio_end_ms": self._ms(self.last_speech),
            }
        )
        self._commit(transcript)
        self._answer(spoken=True)

    def _ms(self, samples: int) -> int:
        return samples * 1000 // SAMPLE_RATE

    def _commit(self, transcript: str) -> None:
        item = f"item_{next(self.ids)}"
        self.emit({"type": "input_audio_buffer.committed", "item_id": item})
        content = [{"type": "input_audio", "transcript": None}]
        self.emit(
            {
                "type": "conversation.item.added",
                "item": {"id": item, "type": "message", "role": "user", "content": content},
            }
        )
        self.emit(
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": item,
                "content_index": 0,
                "transcript": transcript,
            }
        )

    def _answer(self, spoken: bool = False) -> None:
        self.answer = asyncio.ensure_future(self._speak(spoken))

    def _cancel(self, reason: str) -> None:
        if self.answer is None or self.answer.done() or self.current is None:
            return
        self.answer.cancel()
        response = {
            "id": self.current["response_id"],
            "status": "cancelled",
            "status_details": {"reason": reason},
        }
        self.emit({"type": "response.done", "response": response})

    async def _speak(self, spoken: bool) -> None:
        response, item = f"resp_{next(self.ids)}", f"item_{next(self.ids)}"
        place = self.current = {"response_id": response, "item_id": item}
        self.emit({"type": "response.created", "response": {"id": response, "status": "in_progress"}})
        entry = {"id": item, "type": "message", "role": "assistant", "content": []}
        self.emit(
            {"type": "response.output_item.added", "response_id": response, "output_index": 0, "item": entry}
        )
        pcm, mel = self.owner.sound
        pieces = list(_pieces(pcm, mel))
        for count, (start_ms, sound, frames) in enumerate(pieces, 1):
            end = len(ANSWER) * count // len(pieces)
            before = len(ANSWER) * (count - 1) // len(pieces)
            delta = {"type": "response.output_audio_transcript.delta", "delta": ANSWER[before:end]}
            self.emit({**delta, **place, "output_index": 0, "content_index": 0})
            extra = {
                "start_ms": start_ms,
                "duration_ms": len(sound) * 500 // SAMPLE_RATE,
                "mel": base64.b64encode(frames.tobytes()).decode(),
                "mel_frames": len(frames),
                "text_end": end,
            }
            audio = base64.b64encode(sound).decode()
            self.emit(
                {
                    "type": "response.output_audio.delta",
                    "delta": audio,
                    "vivavoce": extra,
                    **place,
                    "output_index": 0,
                    "content_index": 0,
                }
            )
            if count == 1 and spoken:
                self.emit(
                    {"type": "vivavoce.timing", "response_id": response, "decided_ms": 205, "sent_ms": 288}
                )
            await asyncio.sleep(PIECE_MS / 4000)  # four times as fast as it is played
        self.emit({"type": "response.output_audio.done", **place, "output_index": 0, "content_index": 0})
        self.emit({"type": "response.done", "response": {"id": response, "status": "completed"}})


def _pieces(pcm: bytes, mel: np.ndarray) -> Iterator[tuple[int, bytes, np.ndarray]]:
    """Start in milliseconds, int16 bytes and mel frames of each piece of an answer."""
    step = PIECE_MS * SAMPLE_RATE // 1000 * 2
    for at in range(0, len(pcm), step):
        start_ms = at // 2 * 1000 // SAMPLE_RATE
        yield start_ms, pcm[at : at + step], mel[start_ms // 10 : (start_ms + PIECE_MS) // 10]
