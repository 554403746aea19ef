"""Is somebody interrupting? Judged while the assistant is heard.

A person who takes the floor is voiced and bright for a while. An "mhm" is voiced but dull (the lips are
closed), a cough or the keyboard is bright but not voiced, and each is short. An "uh-huh" or an "okay" is like
any other word until the burst is over: where the loudspeaker can be held meanwhile, the model is asked.
"""

from collections import deque
from enum import Enum, auto

from assistant.session.clock import FRAME_MS
from assistant.session.vad import SoundKind

WINDOW_FRAMES = 15  # 300 ms are looked at
PAUSE_FRAMES = 5  # 100 ms of any speech: hold the loudspeaker, if the client can
TALK_FRAMES = 6  # 120 ms of talk: an interruption
LONG_FRAMES = 25  # 500 ms of speech of any kind: an interruption as well
LONG_BURST = 70  # 1.4 s of speech: who agrees has done so
PERIODIC = 0.55  # above: voiced
BRIGHT_DB = -16.0  # above: the mouth is open
SETTLED_MS = 200  # so much silence ends a burst
ANSWER_WITHIN_MS = 1_500  # of silence: a later judgement of a burst is not waited for
AGREES = 0.2  # of P(who spoke only shows that they listen): above, the answer goes on; see docs/training.md


class Verdict(Enum):
    """What a frame leads to."""

    PAUSE = auto()
    RESUME = auto()
    ASK = auto()  # does the burst only agree? Tell ``answered``
    INTERRUPT = auto()


class BargeIn:
    """Follows the bursts of sound during one answer."""

    def __init__(self, patient: bool = False) -> None:
        """``patient``: the loudspeaker can be held, so that a short burst can be judged whole."""
        self.patient = patient
        self.paused = False
        self.onset_ms = 0  # how long ago the burst began, valid at ASK and INTERRUPT
        self._asked = False
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
        self._asked = False

    def frame(self, speech: bool, kind: SoundKind | None) -> Verdict | None:
        """Take the next frame; ``kind`` describes the last 40 ms where there is speech."""
        talk = speech and kind is not None and kind.periodic > PERIODIC and kind.bright > BRIGHT_DB
        self._speech.append(speech)
        self._talk.append(talk)
        self._burst += speech
        self._age_ms += FRAME_MS if self._burst or self._asked else 0
        self._silence_ms = 0 if speech else self._silence_ms + FRAME_MS
        if self._interrupts():
            return self._end(Verdict.INTERRUPT)
        if self._silence_ms >= SETTLED_MS:
            return self._settled()
        if not self.paused and sum(self._speech) >= PAUSE_FRAMES:
            self.paused = True
            return Verdict.PAUSE
        return None

    def answered(self, agreeing: bool) -> Verdict | None:
        """Take the answer to ASK; nothing where the burst has been decided meanwhile."""
        if not self._asked:
            return None
        return self._end(Verdict.RESUME if agreeing else Verdict.INTERRUPT)

    def _interrupts(self) -> bool:
        talks = sum(self._talk) >= TALK_FRAMES
        if self.patient:  # asked: the person goes on talking
            return (talks and self._asked) or self._burst >= LONG_BURST
        return talks or self._burst >= LONG_FRAMES

    def _settled(self) -> Verdict | None:
        if self._asked:
            return self._end(Verdict.RESUME) if self._silence_ms >= ANSWER_WITHIN_MS else None
        if self.paused and self.patient:
            self._asked, self.onset_ms, self._burst = True, self._age_ms, 0
            self._talk.clear()
            return Verdict.ASK
        if self.paused:
            return self._end(Verdict.RESUME)
        self.reset()
        return None

    def _end(self, verdict: Verdict) -> Verdict:
        self.onset_ms, self.paused = self._age_ms, False
        self.reset()
        return verdict
