"""Is somebody interrupting? Judged while the assistant is heard.

A person who takes the floor is voiced and bright for a while. An "mhm" is voiced but dull (the lips are
closed), a cough or the keyboard is bright but not voiced, and each is short.
"""

from collections import deque
from enum import Enum, auto

from assistant.session.clock import FRAME_MS
from assistant.session.vad import SoundKind

WINDOW_FRAMES = 15  # 300 ms are looked at
PAUSE_FRAMES = 5  # 100 ms of any speech: hold the loudspeaker, if the client can
TALK_FRAMES = 6  # 120 ms of talk: an interruption
LONG_FRAMES = 25  # 500 ms of speech of any kind: an interruption as well
PERIODIC = 0.55  # above: voiced
BRIGHT_DB = -16.0  # above: the mouth is open
SETTLED_MS = 200  # so much silence ends a burst


class Verdict(Enum):
    """What a frame leads to."""

    PAUSE = auto()
    RESUME = auto()
    INTERRUPT = auto()


class BargeIn:
    """Follows the bursts of sound during one answer."""

    def __init__(self) -> None:
        self.paused = False
        self.onset_ms = 0  # how long ago the burst began, valid at INTERRUPT
        self._speech: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._talk: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._burst = 0  # speech frames in this burst
        self._age_ms = 0
        self._silence_ms = 0

    def reset(self) -> None:
        """Forget the burst: it was an echo, or it is over."""
        self._speech.clear()
        self._talk.clear()
        self._burst = self._age_ms = self._silence_ms = 0

    def frame(self, speech: bool, kind: SoundKind | None) -> Verdict | None:
        """Take the next frame; ``kind`` describes the last 40 ms where there is speech."""
        talk = speech and kind is not None and kind.periodic > PERIODIC and kind.bright > BRIGHT_DB
        self._speech.append(speech)
        self._talk.append(talk)
        self._burst += speech
        self._age_ms += FRAME_MS if self._burst else 0
        self._silence_ms = 0 if speech else self._silence_ms + FRAME_MS
        if sum(self._talk) >= TALK_FRAMES or self._burst >= LONG_FRAMES:
            self.onset_ms = self._age_ms
            self.paused = False
            self.reset()
            return Verdict.INTERRUPT
        if self._silence_ms >= SETTLED_MS:
            self.reset()
            if self.paused:
                self.paused = False
                return Verdict.RESUME
        elif not self.paused and sum(self._speech) >= PAUSE_FRAMES:
            self.paused = True
            return Verdict.PAUSE
        return None
