"""The jitter buffer of the native client: what waits to be played and how much of it was.

The loudspeaker's thread calls ``render``, everything else is called by the event loop; a lock that is held
for microseconds keeps them apart.
"""

import threading
from collections import deque
from dataclasses import dataclass

from audiocodec.numbers import SAMPLE_RATE

BYTES_PER_SAMPLE = 2
FIRST_TARGET_SAMPLES = SAMPLE_RATE * 40 // 1000  # waits for this much before an answer begins
TARGET_STEP_SAMPLES = SAMPLE_RATE * 40 // 1000  # and for this much more each time that it ran dry
LAST_TARGET_SAMPLES = SAMPLE_RATE * 240 // 1000
FADE_SAMPLES = SAMPLE_RATE * 5 // 1000  # a cut at full level would click


@dataclass(frozen=True, slots=True)
class Position:
    """So many samples of an answer have been handed to the loudspeaker."""

    answer: str
    played: int


@dataclass(frozen=True, slots=True)
class PlayoutEvent:
    """Something that happened while rendering: ``started``, ``dry`` or ``finished``."""

    kind: str
    position: Position
    offset: int  # samples into the rendered block


@dataclass(slots=True)
class _Piece:
    answer: str
    start: int
    pcm: memoryview


class Playout:
    """Plays answers one after another and counts the samples of each exactly. Changes in place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[_Piece] = deque()
        self._ended: set[str] = set()
        self._position: Position | None = None
        self._playing = False
        self._paused = False
        self._target = FIRST_TARGET_SAMPLES
        self._fade = b""

    def push(self, answer: str, start: int, pcm: bytes) -> None:
        """Add int16 sound that begins at sample ``start`` of an answer; what came before is left out."""
        with self._lock:
            repeated = max(0, self._end_of(answer, start) - start) * BYTES_PER_SAMPLE
            if repeated < len(pcm):
                first = start + repeated // BYTES_PER_SAMPLE
                self._queue.append(_Piece(answer, first, memoryview(pcm)[repeated:]))

    def end(self, answer: str) -> None:
        """Tell that an answer is complete: its rest is played however short it is."""
        with self._lock:
            self._ended.add(answer)

    def pause(self, on: bool) -> None:
        """Hold playback where it is, or let it go on; what waits is kept."""
        with self._lock:
            self._paused = on

    def flush(self) -> Position | None:
        """Drop everything that waits; gives the answer in hand and how much of it was played."""
        with self._lock:
            cut = self._position
            if cut and self._playing and self._queue and not self._paused:
                self._fade = _faded(self._queue[0].pcm[: FADE_SAMPLES * BYTES_PER_SAMPLE])
                cut = Position(cut.answer, cut.played + len(self._fade) // BYTES_PER_SAMPLE)
            self._queue.clear()
            self._ended.clear()
            self._position, self._playing, self._paused = None, False, False
            self._target = FIRST_TARGET_SAMPLES
            return cut

    @property
    def waiting(self) -> int:
        """Samples that wait to be played."""
        with self._lock:
            return self._waiting()

    def render(self, samples: int) -> tuple[bytes, list[PlayoutEvent], Position | None]:
        """Give the next int16 sound (or silence), what happened in it, and the place after it."""
        wanted = samples * BYTES_PER_SAMPLE
        output = bytearray()
        events: list[PlayoutEvent] = []
        with self._lock:
            output += self._fade[:wanted]
            self._fade = b""
            while len(output) < wanted and not self._paused:
                if not self._queue:
                    self._run_dry(events, len(output))
                    break
                if not self._begin(self._queue[0], events, len(output)):
                    break
                self._take(output, wanted, events)
            return bytes(output.ljust(wanted, b"\0")), events, self._position

    def _end_of(self, answer: str, start: int) -> int:
        if self._queue and self._queue[-1].answer == answer:
            return self._queue[-1].start + len(self._queue[-1].pcm) // BYTES_PER_SAMPLE
        if self._position and self._position.answer == answer:
            return self._position.played
        return start

    def _waiting(self) -> int:
        return sum(len(piece.pcm) for piece in self._queue) // BYTES_PER_SAMPLE

    def _begin(self, head: _Piece, events: list[PlayoutEvent], at: int) -> bool:
        same = self._position is not None and self._position.answer == head.answer
        if self._playing and same:
            return True
        self._playing = False  # the answer in hand gave way to another
        if self._waiting() < self._target and head.answer not in self._ended:
            return False
        self._playing = True
        if not same:
            self._position = Position(head.answer, head.start)
            events.append(PlayoutEvent("started", self._position, at // BYTES_PER_SAMPLE))
        return True

    def _take(self, output: bytearray, wanted: int, events: list[PlayoutEvent]) -> None:
        head = self._queue[0]
        part = head.pcm[: wanted - len(output)]
        output += part
        head.pcm = head.pcm[len(part) :]
        head.start += len(part) // BYTES_PER_SAMPLE
        self._position = Position(head.answer, head.start)
        if not head.pcm:
            self._queue.popleft()
            self._finish(events, len(output))

    def _finish(self, events: list[PlayoutEvent], at: int) -> None:
        position = self._position
        if position is None or position.answer not in self._ended:
            return
        if self._queue and self._queue[0].answer == position.answer:
            return
        events.append(PlayoutEvent("finished", position, at // BYTES_PER_SAMPLE))
        self._ended.discard(position.answer)
        self._position, self._playing = None, False
        self._target = FIRST_TARGET_SAMPLES

    def _run_dry(self, events: list[PlayoutEvent], at: int) -> None:
        if self._position is None:
            return
        if self._position.answer in self._ended:
            self._finish(events, at)
        elif self._playing:
            self._playing = False
            self._target = min(self._target + TARGET_STEP_SAMPLES, LAST_TARGET_SAMPLES)
            events.append(PlayoutEvent("dry", self._position, at // BYTES_PER_SAMPLE))


def _faded(pcm: memoryview) -> bytes:
    samples = pcm.cast("B").cast("h") if len(pcm) else ()
    count = len(samples)
    return b"".join(
        int(sample * (1 - (at + 1) / count)).to_bytes(2, "little", signed=True)
        for at, sample in enumerate(samples)
    )
