"""Clocks of the native client: when a sample was recorded, how long an answer took, when to acknowledge."""

from collections import deque
from dataclasses import dataclass

from audiocodec.numbers import SAMPLE_RATE

ACK_EVERY_SAMPLES = SAMPLE_RATE // 5  # 200 ms
KEPT_PACKETS = 500


@dataclass(frozen=True, slots=True)
class Mark:
    """A packet of the microphone: samples sent before and after it, and when its last one was recorded."""

    start: int
    end: int
    time_s: float


class InputClock:
    """Remembers when each sent sample was recorded: by the packets' time stamps, never by their number."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque(maxlen=KEPT_PACKETS)
        self.sent = 0  # samples

    def mark(self, samples: int, time_s: float) -> None:
        """Note a packet whose last sample was recorded at ``time_s``."""
        self._marks.append(Mark(self.sent, self.sent + samples, time_s))
        self.sent += samples

    def time_of(self, position: int) -> float | None:
        """When the sample at a position was recorded; None if that is too long ago or yet to come."""
        for mark in self._marks:
            if mark.start <= position <= mark.end:
                return mark.time_s - (mark.end - position) / SAMPLE_RATE
        return None


class VoiceToVoice:
    """Measures from the user's last sound to the first sound of the answer, in seconds of one clock."""

    def __init__(self) -> None:
        self._stopped_s: float | None = None

    def stopped(self, time_s: float | None) -> None:
        """The user fell silent; None: nobody can say when, so this turn is not measured."""
        self._stopped_s = time_s

    def played(self, time_s: float) -> float | None:
        """The first sound of an answer is heard: seconds since the user's last one, or None."""
        if self._stopped_s is None:
            return None
        gap_s, self._stopped_s = time_s - self._stopped_s, None
        return gap_s


class AckScheduler:
    """Thins positions out to the acknowledgements that are worth a message."""

    def __init__(self) -> None:
        self._answer: str | None = None
        self._told = -1

    def due(self, answer: str, played: int, last: bool = False) -> bool:
        """Whether to acknowledge: the first sound, every 200 ms, the end; nothing twice."""
        fresh = answer != self._answer
        if fresh:
            self._answer, self._told = answer, -1
        due = played > self._told if last else fresh or played - self._told >= ACK_EVERY_SAMPLES
        if due:
            self._told = played
        return due
