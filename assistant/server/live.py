"""One session in the daemon: the core, its wire, and its clock. It outlives a lost connection for a while."""

import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assistant.config import Limits
from assistant.errors import EngineError
from assistant.protocol import settings as wire
from assistant.protocol.incoming import Reader
from assistant.protocol.outgoing import Message, Writer
from assistant.protocol.reading import WireLimits, parse
from assistant.server.metrics import Metrics
from assistant.server.outbox import Outbox
from assistant.server.stopwatch import Stopwatch
from assistant.session import events as ev
from assistant.session.clock import count
from assistant.session.engine import (
    AddFrame,
    Answer,
    AnswerBegun,
    AudioPiece,
    Cancel,
    Close,
    Command,
    Engine,
    Load,
    Report,
    TextPiece,
)
from assistant.session.errors import Refused
from assistant.session.session import Session
from assistant.session.vad import VoiceActivity
from audiocodec.numbers import MEL_FRAME_RATE, N_MELS, SAMPLE_RATE

log = logging.getLogger(__name__)
GAP_S = 0.5  # a client that sends no sound for longer than this has paused it
STAGES = {AnswerBegun: "heard", TextPiece: "text", AudioPiece: "audio"}


def new_id(kind: str) -> str:
    """An id that nobody guesses."""
    return f"{kind}_{secrets.token_urlsafe(15)}"


@dataclass(frozen=True, slots=True)
class Kit:
    """What every session of a daemon shares."""

    engine: Engine
    voice: Callable[[], VoiceActivity]
    limits: Limits
    metrics: Metrics
    model: str
    sees: bool
    post: Callable[[Callable[..., None], Any, float], None]  # run on the event loop, from any thread
    resume_window_s: float = 30.0

    def wire_limits(self) -> WireLimits:
        """The part of the limits that reading a message needs."""
        limits = self.limits
        return WireLimits(
            json_depth=limits.json_depth,
            id_characters=limits.id_characters,
            image_bytes=limits.image_bytes,
            image_pixels=limits.image_pixels,
            delta_bytes=limits.delta_bytes,
        )


class Live:
    """A session from its first connection to its end. Everything but ``submit`` runs on the event loop."""

    def __init__(self, kit: Kit, extended: bool, beta: bool) -> None:
        self.id = new_id("sess")
        self.resume_token = secrets.token_urlsafe(32)
        self.extended = extended
        self.outbox = Outbox(kit.limits.queue_bytes, keep=extended)
        self.failed = False  # a fatal problem was reported
        self.began = time.monotonic()
        self._kit = kit
        expires_at = int(time.time() + kit.limits.session_s)
        session = wire.initial(self.id, kit.model, expires_at)
        self._reader = Reader(session, kit.wire_limits(), extended)
        self._writer = Writer(
            lambda: self._reader.session, new_id, beta=beta, extended=extended, mel=self._wants_mel
        )
        self._watch = Stopwatch()
        self._sound_until = self.began  # when the sound sent so far would end, in real time
        self._sound_s = 0.0
        self._frames = 0  # camera frames that wait
        self._timed: set[str] = set()  # spoken turns' answers whose first sound is still to come
        self._closed = False
        self._core = Session(self.id, self, kit.voice(), new_id, self._receive)
        self._apply(self._reader.settings())
        self._greet()

    @property
    def busy(self) -> bool:
        """Whether an answer is being made or something is still to be sent."""
        return self._core.busy or not self.outbox.empty

    # ---- the engine, with a time stamp (these four are the Engine that the core sees)

    def submit(self, command: Command) -> None:
        """Pass a command on. Raises Refused when the engine's queue for this session is full."""
        if isinstance(command, Answer) and command.session == self.id:
            self._watch.mark(command.answer, "asked", time.monotonic())
        if isinstance(command, AddFrame):
            self._kit.metrics.dropped_frames.inc(max(0, self._frames - 1))
            self._frames = 0
        try:
            self._kit.engine.submit(command)
        except EngineError as error:
            if isinstance(command, Cancel | Close):
                raise
            raise Refused("input_backpressure", str(error), kind="rate_limit_error") from None

    def subscribe(self, session: str, receive: Callable[[Report], None]) -> None:
        """Pass a subscription on."""
        self._kit.engine.subscribe(session, receive)

    def load(self) -> Load:
        """Pass the question on."""
        return self._kit.engine.load()

    def close(self) -> None:
        """End the session and free what the engine holds."""
        if not self._closed:
            self._closed = True
            self._core.close()

    # ---- in

    def take(self, text: str) -> None:
        """Take one message of the client; whatever is wrong with it becomes an ``error`` event."""
        event_id: str | None = None
        try:
            message = parse(text, self._kit.limits.json_depth)
            event_id = self._reader.event_id(message)
            if message.get("type") in {"session.update", "transcription_session.update"}:
                self._apply(self._reader.read({**message, "type": "session.update"}))
                self._send([self._writer.message("session.updated", session=self._session_object())])
            else:
                self._apply(self._reader.read(message))
        except Refused as refused:
            self._kit.metrics.errors.labels(refused.code).inc()
            self._send([self._writer.error(refused, event_id)])

    def refuse(self, refused: Refused) -> None:
        """Tell the client of an error that no message of its own shape caused."""
        self._kit.metrics.errors.labels(refused.code).inc()
        self._send([self._writer.error(refused, None)])

    def _apply(self, event: ev.ClientEvent) -> None:
        if isinstance(event, ev.AppendAudio):
            self._clock(event)
        self._tell(self._core.handle(event))

    def _clock(self, event: ev.AppendAudio) -> None:
        """Keep the sample clock near the wall clock, and clients to the rate that they may send at."""
        now, samples = time.monotonic(), count(event.pcm)
        seconds = samples / SAMPLE_RATE
        limits = self._kit.limits
        if self._sound_s + seconds > limits.audio_rate * (now - self.began) + limits.audio_buffer_s:
            raise Refused(
                "rate_limit_exceeded",
                f"Sound comes faster than {limits.audio_rate:g} times real time; send slower.",
                kind="rate_limit_error",
            )
        self._sound_s += seconds
        if now > self._sound_until + GAP_S:
            self._core.handle(ev.Elapsed(int((now - self._sound_until) * SAMPLE_RATE)))
            self._sound_until = now
        self._sound_until += seconds
        self._watch.arrived(samples, now)
        self._frames += len(event.frames)

    # ---- out

    def _receive(self, report: Report) -> None:
        self._kit.post(self._report, report, time.monotonic())

    def _report(self, report: Report, at: float) -> None:
        if self._closed:
            return
        stage = STAGES.get(type(report))
        if stage is not None:
            self._watch.mark(getattr(report, "answer", 0), stage, at)
        try:
            self._tell(self._core.report(report))
        except Refused as refused:
            self.refuse(refused)
        except Exception:  # the session's edge: it ends, the others live
            log.exception("report failed", extra={"session": self.id})
            self._tell([ev.Problem("engine_error", "The session failed.", fatal=True)])

    def _tell(self, events: list[ev.SessionEvent]) -> None:
        for event in events:
            self._send(self._writer.write(event))
            self._measure(event)

    def _measure(self, event: ev.SessionEvent) -> None:
        metrics, now = self._kit.metrics, time.monotonic()
        match event:
            case ev.SpeechStopped():
                self._watch.turn_over(event.end, now)
                metrics.endpoint.observe(max(0, event.decided - event.end) / SAMPLE_RATE)
            case ev.SpeechStarted(interrupted=str()):
                metrics.barge_in.observe(max(0, event.decided - event.onset) / SAMPLE_RATE)
            case ev.ReplyStarted(spoken_turn=True):
                self._timed.add(event.reply_id)
            case ev.ReplyEnded():
                self._timed.discard(event.reply_id)
            case ev.Sounded() if event.reply_id in self._timed:
                self._timed.discard(event.reply_id)
                timing = self._watch.timing(event.piece.answer, now)
                if timing is not None:
                    metrics.first_audio.observe(timing["sent_ms"] / 1_000)
                    if self.extended:
                        message = self._writer.message(
                            "vivavoce.timing", response_id=event.reply_id, **timing
                        )
                        self._send([message])
            case ev.Problem():
                self.failed = self.failed or event.fatal

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            if self.extended:
                message["server_event_seq"] = self.outbox.last + 1
            self.outbox.put(json.dumps(message, ensure_ascii=False))

    def _wants_mel(self) -> bool:
        return bool(self._reader.extension.get("mel", True))

    def _session_object(self) -> dict[str, Any]:
        session = dict(self._reader.session)
        if self.extended:
            session["vivavoce"] = dict(self._reader.extension)
        return session

    def _greet(self) -> None:
        extra = {"vivavoce": self._extension()} if self.extended else {}
        self._send(self._writer.greeting(**extra))

    def _extension(self) -> dict[str, Any]:
        return {
            "resume_token": self.resume_token,
            "resume_window_s": self._kit.resume_window_s,
            "sample_rate": SAMPLE_RATE,
            "mel_bins": N_MELS,
            "mel_frame_rate": MEL_FRAME_RATE,
            "sees": self._kit.sees,
        }

    def resume(self, after: int) -> str | None:
        """Go on with a new connection: the message to send first, or None when the cursor is too old.

        Turns the token, so that the old one is of no use to anybody.
        """
        replayed = self.outbox.rewind(after)
        if replayed is None:
            return None
        self.resume_token = secrets.token_urlsafe(32)
        fields = {"resume_token": self.resume_token, "session_id": self.id, "replayed": replayed}
        return json.dumps(self._writer.message("vivavoce.session.resumed", **fields))
