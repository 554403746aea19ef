"""Session events to the server events that go on the wire, in the order that clients expect."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from assistant.protocol.sound import SoundWriter
from assistant.session import events as ev
from assistant.session.clock import BYTES_PER_SAMPLE, to_ms
from assistant.session.engine import Usage
from assistant.session.errors import Refused
from assistant.session.items import Item, Part
from assistant.session.settings import MAX_TOKENS, ReplyOptions
from audiocodec.numbers import N_MELS

Message = dict[str, Any]
PIECE_BYTES = 144_000  # of PCM in one delta: 3 s, 192 KiB as base64
# What clients of the beta API call these.
BETA = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
}


@dataclass(slots=True)
class Open:
    """An answer on its way out."""

    started: ev.ReplyStarted
    sound: SoundWriter
    sounded: bool = False


@dataclass(slots=True)
class Writer:
    """Writes one session's server events; holds what is open on the wire."""

    session: Callable[[], Message]  # the session object in effect
    new_id: Callable[[str], str]
    conversation_id: str = "conv_default"
    beta: bool = False
    extended: bool = False
    mel: Callable[[], bool] = lambda: True
    _open: dict[str, Open] = field(default_factory=dict)

    def message(self, kind: str, **fields: Any) -> Message:
        """One server event."""
        return {
            "type": BETA.get(kind, kind) if self.beta else kind,
            "event_id": self.new_id("event"),
            **fields,
        }

    def greeting(self, **extra: Any) -> list[Message]:
        """What every session begins with."""
        conversation = {"id": self.conversation_id, "object": "realtime.conversation"}
        return [
            self.message("session.created", session=self.session(), **extra),
            self.message("conversation.created", conversation=conversation),
        ]

    def error(self, refused: Refused, event_id: str | None) -> Message:
        """An error, as clients read it."""
        error = {
            "type": refused.kind,
            "code": refused.code,
            "message": refused.message,
            "param": refused.param,
            "event_id": event_id,
        }
        return self.message("error", error=error)

    def write(self, event: ev.SessionEvent) -> list[Message]:
        """Give the messages for one event of the core."""
        match event:
            case ev.ReplyStarted():
                return self._started(event)
            case ev.OutputStarted():
                return self._output_started(event)
            case ev.Said():
                return [self._said(event)]
            case ev.Sounded():
                return self._sounded(event)
            case ev.OutputEnded():
                return self._output_ended(event)
            case ev.ReplyEnded():
                return self._ended(event)
            case ev.Problem():
                return [self.error(Refused(event.code, event.message, kind="server_error"), None)]
            case ev.PlaybackPaused() | ev.PlaybackResumed():
                return self._playback(event)
            case _:
                return self._input(event)

    def _input(self, event: ev.SessionEvent) -> list[Message]:
        buffer = "input_audio_buffer."
        match event:
            case ev.SpeechStarted():
                at = to_ms(event.start)
                return [self.message(buffer + "speech_started", item_id=event.item_id, audio_start_ms=at)]
            case ev.SpeechStopped():
                at = to_ms(event.end)
                return [self.message(buffer + "speech_stopped", item_id=event.item_id, audio_end_ms=at)]
            case ev.Committed():
                return [
                    self.message(buffer + "committed", item_id=event.item_id, previous_item_id=event.previous)
                ]
            case ev.Cleared():
                return [self.message(buffer + "cleared")]
            case ev.TimedOut():
                start, end = to_ms(event.start), to_ms(event.end)
                fields = {"item_id": event.item_id, "audio_start_ms": start, "audio_end_ms": end}
                return [self.message(buffer + "timeout_triggered", **fields)]
            case ev.OutputCleared():
                return [self.message("output_audio_buffer.cleared", response_id=event.reply_id)]
            case _:
                return self._conversation(event)

    def _conversation(self, event: ev.SessionEvent) -> list[Message]:
        item = "conversation.item."
        match event:
            case ev.ItemAdded():
                return [*self._added(event.item, event.previous), self._done(event.item, event.previous)]
            case ev.ItemRetrieved():
                return [self.message(item + "retrieved", item=item_object(event.item))]
            case ev.ItemDeleted():
                return [self.message(item + "deleted", item_id=event.item_id)]
            case ev.ItemTruncated():
                fields = {"content_index": event.content_index, "audio_end_ms": event.audio_end_ms}
                return [self.message(item + "truncated", item_id=event.item_id, **fields)]
            case ev.Transcribed():
                return [self._transcribed(event)]
            case ev.TranscriptionFailed():
                error = {
                    "type": "server_error",
                    "code": "engine_error",
                    "message": event.message,
                    "param": None,
                }
                kind = item + "input_audio_transcription.failed"
                index = event.content_index
                return [self.message(kind, item_id=event.item_id, content_index=index, error=error)]
            case _:
                raise AssertionError(f"unhandled event {event!r}")

    def _transcribed(self, event: ev.Transcribed) -> Message:
        kind = "conversation.item.input_audio_transcription."
        place = {"item_id": event.item_id, "content_index": event.content_index}
        if not event.final:
            return self.message(kind + "delta", **place, delta=event.text)
        usage = {"type": "duration", "seconds": event.seconds}
        return self.message(kind + "completed", **place, transcript=event.text, usage=usage)

    def _added(self, item: Item, previous: str | None) -> list[Message]:
        fields = {"item": item_object(item), "previous_item_id": previous}
        kinds = ("created",) if self.beta else ("added", "created")
        return [self.message(f"conversation.item.{kind}", **fields) for kind in kinds]

    def _done(self, item: Item, previous: str | None = None) -> Message:
        return self.message("conversation.item.done", item=item_object(item), previous_item_id=previous)

    # ---- answers

    def _started(self, event: ev.ReplyStarted) -> list[Message]:
        kind = event.options.output_format or self.session()["audio"]["output"]["format"]["type"]
        self._open[event.reply_id] = Open(event, SoundWriter(kind))
        return [self.message("response.created", response=self._response(event, "in_progress"))]

    def _response(self, event: ev.ReplyStarted, status: str, **fields: Any) -> Message:
        session, options = self.session(), event.options
        output = session["audio"]["output"]
        limit = options.max_tokens
        return {
            "id": event.reply_id,
            "object": "realtime.response",
            "status": status,
            "status_details": None,
            "output": [],
            "conversation_id": None if options.detached else self.conversation_id,
            "output_modalities": ["audio" if event.aloud else "text"],
            "max_output_tokens": session["max_output_tokens"] if limit is None else _limit(options),
            "audio": {"output": {"format": output["format"], "voice": output["voice"]}},
            "usage": None,
            "metadata": options.metadata,
            **fields,
        }

    def _output_started(self, event: ev.OutputStarted) -> list[Message]:
        item, place = event.item, {"response_id": event.reply_id, "output_index": event.index}
        result = [self.message("response.output_item.added", **place, item=item_object(item, parts=False))]
        if not event.detached:
            result += self._added(item, event.previous)
        if item.kind == "message":
            aloud = item.parts[0].kind == "audio"
            part = {"type": "audio", "transcript": ""} if aloud else {"type": "text", "text": ""}
            place = self._place(event.reply_id, event.index, item.id)
            result.append(self.message("response.content_part.added", **place, part=part))
        return result

    def _place(self, reply_id: str, index: int, item_id: str) -> Message:
        return {"response_id": reply_id, "item_id": item_id, "output_index": index, "content_index": 0}

    def _said(self, event: ev.Said) -> Message:
        aloud = self._open[event.reply_id].started.aloud
        kind = "output_audio_transcript" if aloud else "output_text"
        place = self._place(event.reply_id, event.index, event.item_id)
        return self.message(f"response.{kind}.delta", **place, delta=event.text)

    def _sounded(self, event: ev.Sounded) -> list[Message]:
        opened = self._open[event.reply_id]
        place = self._place(event.reply_id, event.index, event.item_id)
        pcm, result = event.piece.pcm, []
        for at in range(0, len(pcm), PIECE_BYTES):
            delta = opened.sound.write(pcm[at : at + PIECE_BYTES])
            extra = self._sound_extra(event, at) if self.extended else {}
            result.append(self.message("response.output_audio.delta", **place, delta=delta, **extra))
        opened.sounded = True
        return result

    def _sound_extra(self, event: ev.Sounded, at: int) -> Message:
        piece = event.piece
        length = min(len(piece.pcm) - at, PIECE_BYTES) // BYTES_PER_SAMPLE
        extra: Message = {
            "start_ms": to_ms(piece.start + at // BYTES_PER_SAMPLE),
            "duration_ms": to_ms(length),
            "text_end": piece.text_end,
        }
        if at == 0 and self.mel():
            extra["mel"] = base64.b64encode(piece.mel).decode("ascii")
            extra["mel_frames"] = len(piece.mel) // N_MELS
        return {"vivavoce": extra}

    def _output_ended(self, event: ev.OutputEnded) -> list[Message]:
        item, place = event.item, {"response_id": event.reply_id, "output_index": event.index}
        result = self._call_done(event) if item.kind == "function_call" else self._message_done(event)
        if not event.detached:
            result.append(self._done(item))
        return [*result, self.message("response.output_item.done", **place, item=item_object(item))]

    def _call_done(self, event: ev.OutputEnded) -> list[Message]:
        item = event.item
        place = {"response_id": event.reply_id, "output_index": event.index, "item_id": item.id}
        place["call_id"] = item.call_id
        kind = "response.function_call_arguments."
        return [
            self.message(kind + "delta", **place, delta=item.arguments),
            self.message(kind + "done", **place, name=item.name, arguments=item.arguments),
        ]

    def _message_done(self, event: ev.OutputEnded) -> list[Message]:
        place = self._place(event.reply_id, event.index, event.item.id)
        text = event.item.parts[0].text or ""
        if event.item.parts[0].kind == "audio":
            part = {"type": "audio", "transcript": text}
            result = [
                self.message("response.output_audio.done", **place),
                self.message("response.output_audio_transcript.done", **place, transcript=text),
            ]
        else:
            part = {"type": "text", "text": text}
            result = [self.message("response.output_text.done", **place, text=text)]
        return [*result, self.message("response.content_part.done", **place, part=part)]

    def _ended(self, event: ev.ReplyEnded) -> list[Message]:
        opened = self._open.pop(event.reply_id)
        details: Message | None = {"type": event.status}
        if event.reason is not None:
            details = {"type": event.status, "reason": event.reason}
        elif event.status == "failed":
            details = {"type": "failed", "error": {"type": "server_error", "code": "engine_error"}}
        elif event.status == "completed":
            details = None
        response = self._response(
            opened.started,
            event.status,
            status_details=details,
            output=[item_object(item) for item in event.items],
            usage=usage_object(event.usage),
        )
        return [
            self.message("response.done", response=response),
            self.message("rate_limits.updated", rate_limits=[]),
        ]

    def _playback(self, event: ev.PlaybackPaused | ev.PlaybackResumed) -> list[Message]:
        word = "pause" if isinstance(event, ev.PlaybackPaused) else "resume"
        if not self.extended:
            return []
        return [self.message(f"vivavoce.playback.{word}", response_id=event.reply_id)]


def _limit(options: ReplyOptions) -> int | str:
    return "inf" if options.max_tokens in (None, MAX_TOKENS) else options.max_tokens or "inf"


def item_object(item: Item, parts: bool = True) -> Message:
    """An item as clients read it."""
    base: Message = {"id": item.id, "object": "realtime.item", "type": item.kind, "status": item.status}
    if item.kind == "function_call":
        return {**base, "call_id": item.call_id, "name": item.name, "arguments": item.arguments}
    if item.kind == "function_call_output":
        return {**base, "call_id": item.call_id, "output": item.output}
    begun = parts and item.status != "in_progress"
    content = [part_object(part, item.role) for part in item.parts] if begun else []
    return {**base, "role": item.role, "content": content}


def part_object(part: Part, role: str) -> Message:
    """A content part as clients read it; sound and pictures are not sent back."""
    if part.kind == "image":
        return {"type": "input_image", "detail": "auto"}
    if role == "assistant":
        if part.kind == "audio":
            return {"type": "output_audio", "transcript": part.text or ""}
        return {"type": "output_text", "text": part.text or ""}
    if part.kind == "audio":
        return {"type": "input_audio", "transcript": part.text}
    return {"type": "input_text", "text": part.text or ""}


def usage_object(usage: Usage) -> Message:
    """Token counts as clients read them."""
    read = usage.input_text + usage.input_audio + usage.input_image
    written = usage.output_text + usage.output_audio
    return {
        "total_tokens": read + written,
        "input_tokens": read,
        "output_tokens": written,
        "input_token_details": {
            "text_tokens": usage.input_text,
            "audio_tokens": usage.input_audio,
            "image_tokens": usage.input_image,
            "cached_tokens": usage.cached,
        },
        "output_token_details": {"text_tokens": usage.output_text, "audio_tokens": usage.output_audio},
    }
