"""When things happened to a spoken turn, by the wall clock, for the latency read-out and the metrics."""

from collections import deque
from dataclasses import dataclass, field

from audiocodec.numbers import SAMPLE_RATE

Marks = dict[str, float]  # stage -> wall time in seconds


@dataclass(slots=True)
class Stopwatch:
    """Remembers when recent sound arrived, and the stages of each answer."""

    _arrivals: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=512))
    _position: int = 0
    _marks: dict[int, Marks] = field(default_factory=dict)
    _speech_end: float | None = None
    _decided: float | None = None

    def arrived(self, samples: int, now: float) -> None:
        """Sound came in."""
        self._position += samples
        self._arrivals.append((self._position, now))

    def arrival(self, position: int) -> float | None:
        """When the sample before a position arrived, if its packet had come sample by sample."""
        for end, wall in self._arrivals:
            if end >= position:
                return wall - (end - position) / SAMPLE_RATE
        return self._arrivals[-1][1] if self._arrivals else None

    def mark(self, answer: int, stage: str, now: float) -> None:
        """A stage of an answer is reached; the first time counts."""
        self._marks.setdefault(answer, {}).setdefault(stage, now)
        for old in [number for number in self._marks if number < answer - 4]:
            del self._marks[old]

    def turn_over(self, end: int, now: float) -> None:
        """The user's turn was found to be over; its speech ended at ``end``."""
        self._speech_end, self._decided = self.arrival(end), now

    def timing(self, answer: int, now: float) -> dict[str, int] | None:
        """Milliseconds since the last speech sample for each stage; None if the turn was not spoken."""
        if self._speech_end is None or self._decided is None:
            return None
        end, marks = self._speech_end, self._marks.get(answer, {})
        stages = {**marks, "decided": self._decided, "sent": now}
        self._speech_end = None
        return {f"{stage}_ms": round((at - end) * 1_000) for stage, at in stages.items()}
