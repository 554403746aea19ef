"""An answer on its way: tokens to text, text to sound, and the tool call that it may turn out to be."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from assistant.engine.model import Call, Sound
from assistant.model.sampling import Sampling, sample, without_loops
from assistant.model.tokenizer import TextStream
from assistant.session.engine import Answer, Usage
from audiocodec.numbers import CODEC_HOP_LENGTH, LOG_FLOOR

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
TOP_P = 0.95  # probability mass that stays when the temperature is above 0
LOUDEST_LOG_MEL = 2.0  # natural log of magnitude; shown as 255


class VoicePiece(Protocol):
    """A piece of speech."""

    @property
    def pcm(self) -> Tensor:
        """(samples,) float at 24 kHz."""
        ...

    @property
    def mel(self) -> Tensor:
        """(frames, N_MELS) natural log of magnitude."""
        ...

    @property
    def text_end(self) -> int:
        """Characters of the text that are spoken at its end."""
        ...


class Voice(Protocol):
    """Speaks text as it comes, with the transformer's hidden states."""

    @property
    def layer(self) -> int:
        """Layer whose hidden states it reads."""
        ...

    def initial_state(self, style: str, rate: float, pitch: float, volume: float) -> Any:
        """Begin to speak."""
        ...

    def token_state(self, embedding: Tensor, hidden: Tensor) -> Tensor:
        """Join a token's embedding (D,) and its hidden state (D,) to what ``push`` takes."""
        ...

    def push(self, state: Any, text: str, hidden: Tensor) -> tuple[Sequence[VoicePiece], Any]:
        """Say the text of one token with its ``token_state``."""
        ...

    def finish(self, state: Any) -> Sequence[VoicePiece]:
        """Say what was held back."""
        ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """Where a piece of an answer's text lies in its sound."""

    start: int  # samples since the answer's first
    text_end: int  # characters of text spoken at its end


def kept_characters(spoken: tuple[Spoken, ...], heard: int) -> int:
    """How much text had begun to sound within the first ``heard`` samples."""
    return max((piece.text_end for piece in spoken if piece.start < heard), default=0)


@dataclass(slots=True)
class Answering:
    """One answer being made; changed in place by the engine."""

    options: Answer
    text_stream: TextStream
    generator: torch.Generator
    voice_state: Any | None  # None: not aloud, or the sound has ended
    logits: Tensor  # (1, vocabulary) for the next token
    forced: tuple[int, ...] = ()  # tokens that the answer consists of, instead of sampled ones
    tokens: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)  # characters of text after each token
    text: str = ""
    fresh: bool = False  # a token was added in this step
    shown: int = 0  # characters of text that have been reported
    spoken: list[Spoken] = field(default_factory=list)
    samples: int = 0  # of sound so far
    input_counts: dict[str, int] = field(default_factory=dict)
    cached: int = 0
    done: str | None = None  # how the text ended
    call: Call | None = None

    def next_token(self, end: int) -> int:
        """Choose the next token; ``end`` when the answer ends here."""
        if self.forced:
            return self.forced[len(self.tokens)] if len(self.tokens) < len(self.forced) else end
        logits = self.logits if self.may_be_call() else without_loops(self.logits, self.tokens)
        return int(sample(logits, self._sampling(), self.generator))

    def _sampling(self) -> Sampling:
        temperature = self.options.temperature
        return Sampling(temperature=temperature, top_p=TOP_P if temperature else 1.0)

    def add(self, token: int) -> None:
        """Append a token and the text that it completes."""
        self.tokens.append(token)
        self.text += self.text_stream.push([token])
        self.ends.append(len(self.text))
        self.fresh = True

    def end(self, reason: str) -> None:
        """End the text."""
        self.text += self.text_stream.flush()
        self.done = reason

    def look_for_call(self) -> None:
        """End the answer as a tool call once one is complete."""
        complete = CALL_CLOSE in self.text or self.done == "stop"
        if complete and self.call is None:
            self.call = self.read_call()
            if self.call is not None:
                self.done = "tool_call"

    def may_be_call(self) -> bool:
        """Whether the text so far is, or may become, a tool call."""
        head = self.text.lstrip()[: len(CALL_OPEN)]
        return self.options.tools and CALL_OPEN.startswith(head)

    def showable(self) -> str:
        """Take the text that is certain to be no part of a tool call and was not reported yet."""
        if self.may_be_call() and self.done is None:
            return ""
        new, self.shown = self.text[self.shown :], len(self.text)
        return new

    def read_call(self) -> Call | None:
        """Read a complete tool call out of the text; nothing when there is none or it is no JSON."""
        text = self.text.strip()
        if not (self.options.tools and text.startswith(CALL_OPEN)):
            return None
        body = text[len(CALL_OPEN) :].split(CALL_CLOSE)[0]
        try:
            value = json.loads(body)
            return Call(str(value["name"]), json.dumps(value.get("arguments", {}), ensure_ascii=False))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def sound(self, piece: VoicePiece) -> Sound:
        """Report a piece of speech and remember where it lies."""
        self.spoken.append(Spoken(self.samples, piece.text_end))
        self.samples += len(piece.pcm)
        return Sound(pcm_bytes(piece.pcm), mel_bytes(piece.mel), piece.text_end)

    def usage(self) -> Usage:
        """Tokens that went in and came out so far."""
        return Usage(
            input_text=self.input_counts.get("text", 0),
            input_audio=self.input_counts.get("audio", 0),
            input_image=self.input_counts.get("image", 0),
            cached=self.cached,
            output_text=len(self.tokens),
            output_audio=self.samples // CODEC_HOP_LENGTH,
        )


def pcm_bytes(pcm: Tensor) -> bytes:
    """Float samples in [-1, 1] as int16 little-endian."""
    return bytes((pcm.clamp(-1, 1) * 32767).round().to(torch.int16).cpu().numpy().astype("<i2").tobytes())


def pcm_floats(pcm: bytes) -> Tensor:
    """Int16 little-endian samples as floats in [-1, 1]."""
    if len(pcm) % 2:
        raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples")
    return torch.frombuffer(bytearray(pcm), dtype=torch.int16).float() / 32768 if pcm else torch.zeros(0)


def mel_bytes(mel: Tensor) -> bytes:
    """Log mel frames (T, N_MELS) as one byte a value, for display."""
    floor = torch.tensor(LOG_FLOOR).log()
    scaled = (mel.float() - floor) / (LOUDEST_LOG_MEL - floor) * 255
    return bytes(scaled.clamp(0, 255).round().to(torch.uint8).cpu().numpy().tobytes())
