"""What the client needs of microphone and loudspeaker, and the guards that both implementations share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from assistant.client.playout import Playout, PlayoutEvent, Position
from assistant.extras import require
from audiocodec.numbers import SAMPLE_RATE

PACKET_SAMPLES = SAMPLE_RATE // 50  # 20 ms


@dataclass(frozen=True, slots=True)
class Recorded:
    """A packet of int16 sound at 24 kHz, and when its last sample was recorded (monotonic seconds)."""

    pcm: bytes
    time_s: float


@dataclass(frozen=True, slots=True)
class Played:
    """News of the loudspeaker: an event or just the place, audible at ``time_s`` (monotonic seconds)."""

    kind: str  # "started", "dry", "finished" or "moved"
    position: Position
    time_s: float


Hear = Callable[[Recorded], None]
Report = Callable[[Played], None]


class Sound(Protocol):
    """Microphone and loudspeaker. Both callbacks come from threads that must not be held up."""

    def start(self, playout: Playout, hear: Hear, report: Report) -> None:
        """Begin to record and to play."""
        ...

    def revive(self) -> str | None:
        """Start again what has stalled; gives a line about it, or None when all is well."""
        ...

    @property
    def exhausted(self) -> bool:
        """Nothing more will be recorded (a file has ended)."""
        ...

    def close(self) -> None:
        """Stop both."""
        ...


def report_block(
    events: list[PlayoutEvent], position: Position | None, report: Report, block_time_s: float, samples: int
) -> None:
    """Tell what happened in a rendered block that becomes audible at ``block_time_s``."""
    for event in events:
        report(Played(event.kind, event.position, block_time_s + event.offset / SAMPLE_RATE))
    if position is not None:
        report(Played("moved", position, block_time_s + samples / SAMPLE_RATE))


class RateConverter:
    """Converts int16 mono between two rates, block by block."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream: Any = None
        if from_hz != to_hz:
            self._stream = require("soxr").ResampleStream(from_hz, to_hz, 1, dtype="int16", quality="HQ")

    def convert(self, pcm: bytes) -> bytes:
        """Give the converted sound; it lags some milliseconds behind."""
        if self._stream is None:
            return pcm
        converted: bytes = self._stream.resample_chunk(np.frombuffer(pcm, "<i2")).astype("<i2").tobytes()
        return converted


class PaceGuard:
    """Refuses to play faster than time passes.

    Some sound servers ask for hours of sound in a second when their buffers are misconfigured; whoever counts
    those samples as heard is wrong about everything that follows.
    """

    def __init__(self, slack_s: float = 0.5) -> None:
        self._slack_s = slack_s
        self._began_s: float | None = None
        self._given_s = 0.0

    def admits(self, samples: int, now_s: float) -> bool:
        """Whether so many more samples can be real at this time."""
        if self._began_s is None:
            self._began_s = now_s
        elapsed_s = now_s - self._began_s
        if self._given_s > elapsed_s + self._slack_s:
            return False
        # A loudspeaker that stood still must not be owed its silence later.
        self._given_s = max(self._given_s, elapsed_s - self._slack_s) + samples / SAMPLE_RATE
        return True
