"""Whose turn it is: a state machine over 20 ms voice-activity frames and the model's judgement.

Fast and patient: after ``speculate_ms`` of silence the answer is begun, unheard. It is let out after
``finished_ms`` when the model finds the utterance complete, a little later when it is nearly sure. When it
finds it incomplete, the answer is taken back and listening goes on; 160 ms later the same is tried once more.
Then a later judgement says complete, or the silence has become longer than the model's doubt is worth, at
most ``patience_ms``; shortly before that an answer is begun again, so that nobody waits for it as well.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from assistant.session.clock import FRAME_MS

ONSET_FRAMES, ONSET_WINDOW = 3, 5  # 60 ms of speech within 100 ms begin a turn; a click does not
RESUME_FRAMES, RESUME_WINDOW = 3, 4  # after a gap, 60 ms within 80 ms count as speech again
AGAIN_MS = (0, 160)  # silence beyond ``speculate_ms`` after which an answer is tried in any case


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """When to begin an answer and when to let it out. Silences are counted from the last speech frame."""

    speculate_ms: int = 100
    finished_ms: int = 200
    doubt_ms: int = 9_000  # what P(finished) 0 would be worth
    patience_ms: int = 2_500  # longer is never waited, or people think that nobody listens
    hold_ms: int = 240  # an answer that has longer to wait is taken back, so that more can be heard
    threshold: float = 0.95  # of P(finished)
    by_score: bool = True  # False: silence alone decides, after finished_ms

    def wait_ms(self, finished: float | None) -> int:
        """Silence after which the turn is over: ``finished_ms`` from the threshold on, from there by equal
        factors towards ``doubt_ms`` at P(finished) 0 or without a judgement, at most ``patience_ms``.
        """
        if not self.by_score:
            return self.finished_ms
        doubt = 1.0 if finished is None else max(0.0, 1 - finished / self.threshold)
        factor: float = (self.doubt_ms / self.finished_ms) ** doubt
        return min(self.patience_ms, round(self.finished_ms * factor))


class Decision(Enum):
    """What a frame or a judgement leads to."""

    START = auto()  # the user has begun to speak
    SPECULATE = auto()  # end the audio here and begin an answer unheard
    REOPEN = auto()  # take the unheard answer back and hear on
    END = auto()  # the turn is over: let the answer out, or ask for it


class TurnTaker:
    """Follows one user turn after the other. All positions are counted in frames since the last reset."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.policy = policy
        self.speaking = False
        self.held = False  # an answer was begun and is not yet let out
        self.silence_ms = 0
        self.onset_ms = 0  # how long ago the turn's first speech frame began, valid at START
        self._recent: deque[bool] = deque(maxlen=ONSET_WINDOW)
        self._speculations = 0  # in this silence
        self._finished: float | None = None  # the newest judgement on this silence
        self._covered_ms = 0  # how much of the silence it had heard

    def reset(self) -> None:
        """Back to waiting for speech."""
        self.speaking = self.held = False
        self._speculations = 0
        self.silence_ms = self._covered_ms = 0
        self._finished = None
        self._recent.clear()

    def begin(self) -> None:
        """A turn begins on somebody else's word: a confirmed interruption."""
        self.reset()
        self.speaking = True
        self._recent.extend([True] * RESUME_FRAMES)

    def frame(self, speech: bool) -> Decision | None:
        """Take the next frame."""
        self._recent.append(speech)
        if not self.speaking:
            return self._onset()
        going_on = speech and self.silence_ms == 0
        if going_on or (speech and sum(list(self._recent)[-RESUME_WINDOW:]) >= RESUME_FRAMES):
            return self._speech()
        self.silence_ms += FRAME_MS
        return self._silence()

    def score(self, covered_ms: int, finished: float) -> Decision | None:
        """Take the model's judgement on everything up to ``covered_ms`` of the present silence.

        One that covers less than an earlier one counts for nothing: the blocks of a stream are judged late.
        """
        if not self.speaking or not self.policy.by_score or self.silence_ms == 0:
            return None
        if covered_ms <= 0 or covered_ms < self._covered_ms:
            return None
        self._finished, self._covered_ms = finished, covered_ms
        if self.held and self._left_ms() > self.policy.hold_ms:
            return self._reopen()
        return self._end() if self._speculations and self._waited() else None

    def _onset(self) -> Decision | None:
        if sum(self._recent) < ONSET_FRAMES:
            return None
        frames = list(self._recent)
        self.onset_ms = (len(frames) - frames.index(True)) * FRAME_MS
        self.speaking = True
        self.silence_ms = 0
        return Decision.START

    def _speech(self) -> Decision | None:
        self.silence_ms = self._covered_ms = 0
        self._speculations = 0
        self._finished = None
        return self._reopen() if self.held else None

    def _silence(self) -> Decision | None:
        if self._waited():
            return self._end()
        if not self.held and self._soon():
            self.held = True
            self._speculations += 1
            return Decision.SPECULATE
        return None

    def _soon(self) -> bool:
        """Whether an answer that is begun now is wanted about when it is there."""
        count = self._speculations
        if count < len(AGAIN_MS) and self.silence_ms >= self.policy.speculate_ms + AGAIN_MS[count]:
            return True
        return count > 0 and self._finished is not None and self._left_ms() <= self.policy.hold_ms

    def _left_ms(self) -> int:
        return self.policy.wait_ms(self._finished) - self.silence_ms

    def _waited(self) -> bool:
        return self._left_ms() <= 0

    def _reopen(self) -> Decision:
        self.held = False
        return Decision.REOPEN

    def _end(self) -> Decision:
        self.reset()
        return Decision.END
