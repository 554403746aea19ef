"""Ten minutes in one go: are the last words as clear as the first, and does anything grow?"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from assistant.bench.judges.words import Recognizer, WordError, word_error
from assistant.bench.memory import peak_mb
from assistant.model.speaking.speaker import Piece
from audiocodec.numbers import SAMPLE_RATE

MINUTE = 60 * SAMPLE_RATE
MOST_LETTERS_A_SECOND = 20  # more than are ever spoken


@dataclass(frozen=True, slots=True)
class Sentence:
    """Some sound and the text spoken in it."""

    audio: NDArray[np.float32]
    text: str


@dataclass(frozen=True, slots=True)
class LongSpeech:
    """What was kept of a long text."""

    first: tuple[Sentence, ...]  # of the first minute
    last: tuple[Sentence, ...]  # of the last
    spoken_s: float
    grown_mb: float  # of the process, in the second half


def long_text(sentences: Sequence[str], minutes: float) -> str:
    """Join sentences over and over until they last longer than so many minutes."""
    parts, length = [], 0
    for sentence in cycle(sentences):
        parts.append(sentence)
        length += len(sentence) + 1
        if length > minutes * 60 * MOST_LETTERS_A_SECOND:
            return " ".join(parts)
    return ""


def speak_long(
    pieces: Iterable[Piece], text: str, minutes: float, progress: Callable[[float], None]
) -> LongSpeech:
    """Take the pieces of a text for so many minutes of sound; keeps the first minute and the last one."""
    first: list[Piece] = []
    last: deque[Piece] = deque()
    samples = held = 0
    before_last = 0  # characters
    settled_mb = 0.0
    for piece in pieces:
        samples += len(piece.pcm)
        if samples <= MINUTE:
            first.append(piece)
        if samples >= minutes * MINUTE / 2:
            settled_mb = settled_mb or peak_mb()
        last.append(piece)
        held += len(piece.pcm)
        while held - len(last[0].pcm) > MINUTE:
            gone = last.popleft()
            held, before_last = held - len(gone.pcm), gone.text_end
        progress(samples / SAMPLE_RATE)
        if samples >= minutes * MINUTE:
            break
    grown = peak_mb() - settled_mb if settled_mb else 0.0
    return LongSpeech(
        tuple(_sentences(first, text, 0)),
        tuple(_sentences(last, text, before_last)),
        samples / SAMPLE_RATE,
        grown,
    )


def _sentences(pieces: Iterable[Piece], text: str, begin: int) -> Iterator[Sentence]:
    """Cut pieces, spoken from character ``begin`` of the text on, at its sentences' ends."""
    sound: list[NDArray[np.float32]] = []
    for piece in pieces:
        sound.append(piece.pcm.clamp(-1, 1).numpy())
        said = text[begin : piece.text_end]
        if said.rstrip().endswith((".", "?", "!")):
            yield Sentence(np.concatenate(sound), said)
            sound, begin = [], piece.text_end


def errors(ear: Recognizer, spoken: LongSpeech) -> dict[str, WordError]:
    """Word error of both minutes, whole sentences only."""
    return {
        name: sum((word_error(one.text, ear.hear(one.audio)) for one in kept), WordError(0, 0))
        for name, kept in (("first minute", spoken.first), ("last minute", spoken.last))
    }
