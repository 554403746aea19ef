"""Ten minutes in one go: are the last words as clear as the first, and does anything grow?"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
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
class Stretch:
    """Some sound and the text spoken in it."""

    audio: NDArray[np.float32]
    text: str


@dataclass(frozen=True, slots=True)
class LongSpeech:
    """What was kept of a long text."""

    first: Stretch
    last: Stretch
    spoken_s: float
    grown_mb: float  # of the process, from the end of the first minute on


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
    first_end = before_last = 0  # characters
    settled_mb = 0.0
    for piece in pieces:
        samples += len(piece.pcm)
        if samples <= MINUTE:
            first.append(piece)
            first_end = piece.text_end
        else:
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
        Stretch(_sound(first), text[:first_end]),
        Stretch(_sound(last), text[before_last : last[-1].text_end] if last else ""),
        samples / SAMPLE_RATE,
        grown,
    )


def _sound(pieces: Iterable[Piece]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *(piece.pcm.clamp(-1, 1).numpy() for piece in pieces)])


def errors(ear: Recognizer, spoken: LongSpeech) -> dict[str, WordError]:
    """Word error of both minutes."""
    return {
        name: word_error(stretch.text, ear.hear(stretch.audio))
        for name, stretch in (("first minute", spoken.first), ("last minute", spoken.last))
    }
