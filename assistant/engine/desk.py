"""What the worker keeps for one session: its queue, its answer, and when it is next due."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic

from assistant.engine.model import C
from assistant.errors import EngineError
from assistant.session.engine import Answer, Cancel, Close, Command, Hear, Overhear, Transcribe
from audiocodec.numbers import ENCODER_BLOCK_LENGTH, SAMPLE_RATE

BYTES_PER_SAMPLE = 2
OVERTAKING = (Cancel, Transcribe, Overhear, Close)  # may be carried out while an answer is being made


@dataclass(frozen=True, slots=True)
class Limits:
    """What one session may ask of the worker."""

    ahead_s: float = 4.0  # sound is made at most so long before it is heard
    urgent_s: float = 1.0  # an answer with less sound than this in hand goes before transcripts
    queued_commands: int = 256
    queued_audio_s: float = 60.0
    block_bytes: int = ENCODER_BLOCK_LENGTH * BYTES_PER_SAMPLE


@dataclass(slots=True, eq=False)
class Desk(Generic[C]):
    """One session at the worker. Queue and tickets are touched under the worker's lock only."""

    session: str
    conversation: C | None = None
    answer: Answer | None = None  # being made
    last: Answer | None = None  # that one, or the one before
    heard: dict[str, int] = field(
        default_factory=dict
    )  # where each item's sound begins on the session's clock
    transcripts: list[tuple[str, Iterator[str]]] = field(default_factory=list)
    written_at: float = 0.0
    waits_for: int | None = None  # a ticket of the session that this one is copied from
    last_ticket: int = 0  # commands that were queued
    done_ticket: int = 0  # commands that were carried out
    ahead_s: float = 4.0
    _queue: deque[Command] = field(default_factory=deque)
    _audio_bytes: int = 0
    _samples: int = 0  # of the answer's sound
    _sound_began: float | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def head(self) -> Command | None:
        """The command that is next in order."""
        return self._queue[0] if self._queue else None

    def put(self, command: Command, limits: Limits) -> None:
        """Queue a command. Raises EngineError when there is too much; Cancel and Close always fit."""
        self.ahead_s = limits.ahead_s
        if isinstance(command, Hear):
            seconds = (self._audio_bytes + len(command.pcm)) / (BYTES_PER_SAMPLE * SAMPLE_RATE)
            if seconds > limits.queued_audio_s:
                raise EngineError(
                    f"More than {limits.queued_audio_s:.0f} s of sound wait to be heard; send slower."
                )
            self._audio_bytes += len(command.pcm)
            if self._merge(command):
                return
        elif len(self._queue) >= limits.queued_commands and not isinstance(command, Cancel | Close):
            raise EngineError(f"More than {limits.queued_commands} commands wait; send slower.")
        if isinstance(command, Close):
            self._queue.clear()
        self._queue.append(command)
        self.last_ticket += 1

    def _merge(self, command: Hear) -> bool:
        last = self._queue[-1] if self._queue else None
        if not isinstance(last, Hear) or last.item != command.item:
            return False
        self._queue[-1] = replace(last, pcm=last.pcm + command.pcm)
        return True

    def take(self, block_bytes: int) -> Command | None:
        """Take the next command that may be carried out now; of long speech only one block."""
        if self.answer is not None:
            return self._take_overtaking()
        if not self._queue:
            return None
        command = self._queue.popleft()
        if isinstance(command, Hear):
            head, rest = command.pcm[:block_bytes], command.pcm[block_bytes:]
            self._audio_bytes -= len(head)
            if rest:
                start = command.start + len(head) // BYTES_PER_SAMPLE
                self._queue.appendleft(replace(command, pcm=rest, start=start))
                self.last_ticket += 1
            command = replace(command, pcm=head)
        return command

    def _take_overtaking(self) -> Command | None:
        for command in self._queue:
            if isinstance(command, OVERTAKING):
                self._queue.remove(command)
                return command
        return None

    def begin(self, answer: Answer) -> None:
        """An answer is being made from now on."""
        self.answer = self.last = answer
        self._samples, self._sound_began = 0, None

    def end(self) -> None:
        """The answer is over."""
        self.answer = None

    def sounded(self, samples: int, now: float) -> int:
        """Note a piece of sound and give its position in the answer."""
        start = self._samples
        if self._sound_began is None or now - self._sound_began > start / SAMPLE_RATE:
            self._sound_began = now - start / SAMPLE_RATE  # the client had run dry
        self._samples += samples
        return start

    def in_hand_s(self, now: float) -> float:
        """Seconds of sound that were made and are not heard yet."""
        if self._sound_began is None:
            return 0.0
        return self._samples / SAMPLE_RATE - (now - self._sound_began)

    def steps(self, now: float) -> bool:
        """Whether its answer takes part in the next decode step."""
        return self.answer is not None and self.in_hand_s(now) < self.ahead_s

    def urgent(self, now: float, urgent_s: float) -> bool:
        """Whether its answer needs the device before anything optional."""
        return self.answer is not None and self.in_hand_s(now) < min(urgent_s, self.ahead_s)

    def pause(self, now: float, ready: bool) -> float | None:
        """Seconds until there is something to do for it: 0 now, None until it is asked."""
        if self.transcripts or self.steps(now):
            return 0.0
        if self.answer is not None:
            if any(isinstance(command, OVERTAKING) for command in self._queue):
                return 0.0
            return max(self.in_hand_s(now) - self.ahead_s, 0.001)
        return 0.0 if self._queue and ready else None
