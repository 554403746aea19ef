"""What each side said, and how far the assistant's words have been heard. Pure."""

import re
from dataclasses import dataclass, field

from audiocodec.numbers import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Sounded:
    """Samples ``start`` to ``end`` of an answer complete ``text_end`` characters of its text."""

    start: int
    end: int
    text_end: int | None


@dataclass(slots=True)
class Line:
    """One turn of the conversation."""

    id: str
    role: str  # "user" or "assistant"
    text: str = ""
    done: bool = False
    aloud: bool = False
    interrupted: bool = False
    heard_chars: int = 0
    latency_s: float | None = None
    pieces: list[Sounded] = field(default_factory=list)

    def add_sound(self, start: int, samples: int, text_end: int | None) -> None:
        """Note a piece of the answer's sound."""
        self.aloud = True
        self.pieces.append(Sounded(start, start + samples, text_end))

    def chars_at(self, played: int) -> int:
        """Characters that a listener has heard after so many samples."""
        if all(piece.text_end is None for piece in self.pieces):
            total = self.pieces[-1].end if self.pieces else 0
            return min(len(self.text), len(self.text) * played // total) if total else 0
        chars = 0
        for piece in self.pieces:
            if piece.text_end is None:
                continue
            if played >= piece.end:
                chars = max(chars, piece.text_end)
            elif played > piece.start and piece.text_end > chars:
                chars += (piece.text_end - chars) * (played - piece.start) // (piece.end - piece.start)
                break
        return min(chars, len(self.text))

    def heard(self, played: int) -> None:
        """Move the place up to which the line was heard."""
        self.heard_chars = max(self.heard_chars, self.chars_at(played))

    def cut(self, played: int) -> None:
        """Keep only what was heard, back to the last whole word."""
        chars = self.chars_at(played) if self.aloud else len(self.text)
        kept, rest = self.text[:chars], self.text[chars:]
        if re.search(r"\w$", kept) and re.match(r"\w", rest):
            kept = re.sub(r"\w+$", "", kept)
        self.text = kept.rstrip()
        self.heard_chars = len(self.text)
        self.interrupted = self.done = True


class Captions:
    """All turns in their order."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def get(self, item: str) -> Line | None:
        """The line of an item, or None."""
        return next((line for line in self.lines if line.id == item), None)

    def open(self, item: str, role: str, previous: str | None = None) -> Line:
        """The line of an item; made where it does not exist, after ``previous`` if that is known."""
        known = self.get(item)
        if known is not None:
            return known
        line = Line(item, role)
        before = next((at for at, other in enumerate(self.lines) if other.id == previous), len(self.lines))
        self.lines.insert(before + 1, line)
        return line


def samples_of_ms(ms: float) -> int:
    """Samples that last so many milliseconds."""
    return int(ms * SAMPLE_RATE / 1000)
