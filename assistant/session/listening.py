"""The microphone side: the buffer on the sample clock, voice activity, and who has the floor."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from assistant.session.bargein import AGREES, BargeIn, Verdict
from assistant.session.clock import BYTES_PER_SAMPLE, FRAME_BYTES, FRAME_SAMPLES, to_samples
from assistant.session.echo import is_echo
from assistant.session.turn import Decision, TurnTaker
from assistant.session.vad import VoiceActivity, describe, samples

KEEP_SAMPLES = to_samples(
    1_500
)  # kept before now while nobody speaks: padding, and the echo guard's material
KIND_BYTES = 2 * FRAME_BYTES
BEFORE_BURST_MS = 100  # of a sound that is asked about
ECHO_BYTES = 12 * FRAME_BYTES


class Signal(Enum):
    """What the ear tells the session."""

    START = auto()
    SPECULATE = auto()
    REOPEN = auto()
    END = auto()
    PAUSE = auto()
    RESUME = auto()
    ASK = auto()
    INTERRUPT = auto()


SIGNALS = {
    Decision.START: Signal.START,
    Decision.SPECULATE: Signal.SPECULATE,
    Decision.REOPEN: Signal.REOPEN,
    Decision.END: Signal.END,
    Verdict.PAUSE: Signal.PAUSE,
    Verdict.RESUME: Signal.RESUME,
    Verdict.ASK: Signal.ASK,
    Verdict.INTERRUPT: Signal.INTERRUPT,
}


@dataclass(slots=True)
class Room:
    """What the ear must know about the loudspeaker."""

    audible: Callable[[], bool]  # an answer is being heard
    reference: Callable[[], bytes]  # what it says about now; empty when the client cancels its echo


class Ear:
    """Keeps the sound that may still be needed and turns frames into signals."""

    def __init__(self, voice: VoiceActivity, turn: TurnTaker, room: Room) -> None:
        self.turn = turn
        self.barge_in = BargeIn()
        self.now = 0  # position behind the last whole frame
        self.last_speech = 0  # position behind the last speech frame
        self._voice, self._room = voice, room
        self._pcm = bytearray()
        self._base = 0  # position of the buffer's first sample

    @property
    def received(self) -> int:
        """Position behind everything that has come."""
        return self._base + len(self._pcm) // BYTES_PER_SAMPLE

    def push(self, pcm: bytes) -> None:
        """Take sound without judging it."""
        self._pcm += pcm

    def listen(self) -> Iterator[Signal]:
        """Judge the frames that are complete; the caller acts on each signal before the next is judged."""
        while self.received - self.now >= FRAME_SAMPLES:
            frame = self.between(self.now, self.now + FRAME_SAMPLES)
            speech = self._voice.speech(samples(frame))
            self.now += FRAME_SAMPLES
            found = self._judge(speech)
            if speech and self.turn.silence_ms == 0:
                self.last_speech = self.now
            if found is not None:
                yield SIGNALS[found]
            self._trim()

    def burst(self) -> bytes:
        """The sound that is asked about."""
        start = self.now - to_samples(self.barge_in.onset_ms + BEFORE_BURST_MS)
        return self.between(start, self.now)

    def overheard(self, agreement: float) -> Signal | None:
        """Take the judgement of the burst that was asked about."""
        verdict = self.barge_in.answered(agreement > AGREES)
        return None if verdict is None else SIGNALS[verdict]

    def skip(self) -> None:
        """Let frames pass unjudged, for push to talk."""
        self.now += (self.received - self.now) // FRAME_SAMPLES * FRAME_SAMPLES

    def between(self, start: int, end: int) -> bytes:
        """Cut out the buffer; what is no longer kept is left out."""
        first = max(0, start - self._base) * BYTES_PER_SAMPLE
        return bytes(self._pcm[first : max(0, end - self._base) * BYTES_PER_SAMPLE])

    def drop(self, before: int) -> None:
        """Forget what lies before a position."""
        spare = max(0, min(before, self.received) - self._base)
        del self._pcm[: spare * BYTES_PER_SAMPLE]
        self._base += spare

    @property
    def base(self) -> int:
        """Position of the first sample that is still kept."""
        return self._base

    def _judge(self, speech: bool) -> Decision | Verdict | None:
        if self.turn.speaking or not self._room.audible():
            if self.barge_in.paused:
                self.barge_in = BargeIn(self.barge_in.patient)
                return Verdict.RESUME
            return self.turn.frame(speech)
        start = self.now - (KIND_BYTES // BYTES_PER_SAMPLE)
        kind = describe(samples(self.between(start, self.now))) if speech else None
        verdict = self.barge_in.frame(speech, kind)
        if verdict in {Verdict.PAUSE, Verdict.INTERRUPT} and self._own_voice():
            self.barge_in = BargeIn(self.barge_in.patient)
            return None
        return verdict

    def _own_voice(self) -> bool:
        said = self._room.reference()
        if not said:
            return False
        heard = self.between(self.now - ECHO_BYTES // BYTES_PER_SAMPLE, self.now)
        return is_echo(samples(heard), samples(said))

    def _trim(self) -> None:
        if not self.turn.speaking:
            self.drop(self.now - KEEP_SAMPLES)
