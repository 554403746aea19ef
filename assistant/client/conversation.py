"""Server events in, effects out: what to play, show and send. Pure; ``talk`` carries the effects out."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assistant.client.captions import Captions, Line, samples_of_ms
from audiocodec.numbers import SAMPLE_RATE

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Play:
    """Queue sound of an answer."""

    answer: str
    start: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class End:
    """No more sound of this answer will come."""

    answer: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Silence the loudspeaker at once, then report what was heard with ``cut_off``."""

    answer: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Hold the loudspeaker, or let it go on."""

    on: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Send an event."""

    event: Event


@dataclass(frozen=True, slots=True)
class Show:
    """A line of the conversation is new or changed."""

    line: Line


@dataclass(frozen=True, slots=True)
class Stopped:
    """The user's speech ended after so many milliseconds of sent audio."""

    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class Problem:
    """The daemon refused something."""

    code: str
    message: str


Effect = Play | End | Flush | Pause | Send | Show | Stopped | Problem


@dataclass(slots=True)
class _Answer:
    response: str
    ended: bool = False
    cut: bool = False


class Conversation:
    """Follows one conversation. ``state`` is listening, hearing, thinking or speaking."""

    def __init__(self) -> None:
        self.captions = Captions()
        self.state = "listening"
        self.response: str | None = None  # being made by the daemon
        self.playing: str | None = None  # item that sounds or waits to sound
        self._answers: dict[str, _Answer] = {}

    def receive(self, event: Event) -> list[Effect]:
        """Take an event of the daemon; unknown ones are passed over."""
        handler = _HANDLERS.get(event["type"])
        return handler(self, event) if handler else []

    def response_of(self, item: str) -> str | None:
        """The response that an answer belongs to."""
        answer = self._answers.get(item)
        return answer.response if answer else None

    def started(self) -> None:
        """The loudspeaker began with an answer."""
        self.state = "speaking"

    def moved(self, item: str, played: int) -> list[Effect]:
        """The loudspeaker has played so many samples of an answer."""
        line = self.captions.get(item)
        if line is None or line.interrupted:
            return []
        before = line.heard_chars
        line.heard(played)
        return [Show(line)] if line.heard_chars != before else []

    def finished(self, item: str) -> list[Effect]:
        """The loudspeaker has played all of an answer."""
        line = self.captions.get(item)
        if line is None or line.interrupted:
            return []
        line.heard_chars = len(line.text)
        if self.playing == item:
            self.playing = None
        if self.state == "speaking":
            self.state = "listening"
        return [Show(line)]

    def interrupt(self) -> list[Effect]:
        """The user cuts in: nothing of the answer is played any more."""
        for item, answer in self._answers.items():
            if item == self.playing or answer.response == self.response:
                answer.cut = True
        playing, self.playing = self.playing, None
        return [] if playing is None else [Flush(playing)]

    def stop(self) -> list[Effect]:
        """The user wants silence: also tell the daemon, if it is still at it."""
        cancel = [Send({"type": "response.cancel", "response_id": self.response})] if self.response else []
        effects = self.interrupt()
        if self.state == "speaking":
            self.state = "listening"
        return [*cancel, *effects]

    def cut_off(self, item: str, played: int) -> list[Effect]:
        """The loudspeaker is silent after ``played`` samples of the answer."""
        line = self.captions.get(item)
        if line is not None:
            line.cut(played)
        truncate = {
            "type": "conversation.item.truncate",
            "item_id": item,
            "content_index": 0,
            "audio_end_ms": played * 1000 // SAMPLE_RATE,
        }
        return [*([Show(line)] if line else []), Send(truncate)]

    def restarted(self) -> list[Effect]:
        """The daemon knows nothing of what went before."""
        effects = self.interrupt()
        self.response, self.state = None, "listening"
        return effects

    def _speech_started(self, _event: Event) -> list[Effect]:
        self.state = "hearing"
        return self.interrupt()

    def _speech_stopped(self, event: Event) -> list[Effect]:
        self.state = "thinking"
        return [Stopped(event["audio_end_ms"])]

    def _committed(self, event: Event) -> list[Effect]:
        return [Show(self.captions.open(event["item_id"], "user", event.get("previous_item_id")))]

    def _item_added(self, event: Event) -> list[Effect]:
        item = event["item"]
        if item.get("type") != "message" or item.get("role") != "user":
            return []
        line = self.captions.open(item["id"], "user", event.get("previous_item_id"))
        line.text = line.text or "".join(part.get("text") or "" for part in item.get("content", ()))
        line.done = bool(line.text)
        return [Show(line)]

    def _transcribed(self, event: Event) -> list[Effect]:
        line = self.captions.open(event["item_id"], "user")
        if event["type"].endswith(".delta"):
            line.text += event.get("delta") or ""
        else:
            line.text = event.get("transcript", line.text).strip()
            line.done = True
        return [Show(line)]

    def _response_created(self, event: Event) -> list[Effect]:
        self.response = event["response"]["id"]
        if self.state == "listening":
            self.state = "thinking"
        return []

    def _answer_added(self, event: Event) -> list[Effect]:
        item = event["item"]
        if item.get("type") != "message" or item["id"] in self._answers:
            return []
        self._answers[item["id"]] = _Answer(event["response_id"])
        return [Show(self.captions.open(item["id"], "assistant"))]

    def _text(self, event: Event) -> list[Effect]:
        line = self.captions.get(event["item_id"])
        if line is None or line.interrupted:
            return []
        line.text += event["delta"]
        if event["type"] == "response.output_text.delta":
            line.heard_chars = len(line.text)
        return [Show(line)]

    def _sound(self, event: Event) -> list[Effect]:
        item = event["item_id"]
        answer, line = self._answers.get(item), self.captions.get(item)
        if answer is None or line is None or answer.cut:
            return []
        pcm = base64.b64decode(event["delta"])
        extra = event.get("vivavoce") or {}
        after_last = line.pieces[-1].end if line.pieces else 0
        start = samples_of_ms(extra["start_ms"]) if "start_ms" in extra else after_last
        line.add_sound(start, len(pcm) // 2, extra.get("text_end"))
        self.playing = item
        return [Play(item, start, pcm)]

    def _sound_done(self, event: Event) -> list[Effect]:
        return self._end(event["item_id"])

    def _end(self, item: str) -> list[Effect]:
        answer = self._answers.get(item)
        if answer is None or answer.cut or answer.ended:
            return []
        answer.ended = True
        return [End(item)]

    def _response_done(self, event: Event) -> list[Effect]:
        self.response = None
        effects: list[Effect] = []
        cancelled = event["response"].get("status") == "cancelled"
        for item, answer in self._answers.items():
            line = self.captions.get(item)
            if answer.response != event["response"]["id"] or line is None:
                continue
            line.done = True
            if cancelled and not answer.cut and self.playing == item:
                effects += self.interrupt()
            elif cancelled:
                line.interrupted = True
            else:
                effects += self._end(item)
            effects.append(Show(line))
        if self.playing is None and self.state == "thinking":
            self.state = "listening"
        return effects

    def _pause(self, event: Event) -> list[Effect]:
        on = event["type"].endswith("pause")
        return [] if on and self.playing is None else [Pause(on)]

    def _error(self, event: Event) -> list[Effect]:
        error = event["error"]
        return [Problem(str(error.get("code")), str(error.get("message")))]


_HANDLERS: dict[str, Callable[[Conversation, Event], list[Effect]]] = {
    "input_audio_buffer.speech_started": Conversation._speech_started,
    "input_audio_buffer.speech_stopped": Conversation._speech_stopped,
    "input_audio_buffer.committed": Conversation._committed,
    "conversation.item.added": Conversation._item_added,
    "conversation.item.input_audio_transcription.delta": Conversation._transcribed,
    "conversation.item.input_audio_transcription.completed": Conversation._transcribed,
    "response.created": Conversation._response_created,
    "response.output_item.added": Conversation._answer_added,
    "response.output_audio_transcript.delta": Conversation._text,
    "response.output_text.delta": Conversation._text,
    "response.output_audio.delta": Conversation._sound,
    "response.output_audio.done": Conversation._sound_done,
    "response.done": Conversation._response_done,
    "vivavoce.playback.pause": Conversation._pause,
    "vivavoce.playback.resume": Conversation._pause,
    "error": Conversation._error,
}
