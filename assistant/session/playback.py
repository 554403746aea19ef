"""How much of an answer has been heard, from acknowledgements or, without them, from the sample clock."""

from dataclasses import dataclass, field

from assistant.session.clock import BYTES_PER_SAMPLE, to_samples

REFERENCE_SAMPLES = to_samples(6_000)  # of the latest sound are kept to compare the microphone with
LATEST_ACK_SAMPLES = to_samples(500)  # an acknowledgement older than this is no longer carried forward


@dataclass(slots=True)
class Playback:
    """One answer at the client's loudspeaker. ``now`` is always the session's clock in samples."""

    samples: int = 0  # sent so far
    ended: bool = False  # no more will be sent
    paused_at: int | None = None
    _started: int | None = None  # when the first was sent, moved on by pauses
    _acked: int | None = None
    _acked_at: int = 0
    _latest: bytearray = field(default_factory=bytearray)

    def send(self, pcm: bytes, now: int) -> None:
        """Note sound that goes to the client. A client that had run dry starts again from here."""
        if self._started is None:
            self._started = now
        elif self._acked is None and now - self._started > self.samples:
            self._started = now - self.samples
        self.samples += len(pcm) // BYTES_PER_SAMPLE
        self._latest += pcm
        spare = len(self._latest) - REFERENCE_SAMPLES * BYTES_PER_SAMPLE
        if spare > 0:
            del self._latest[:spare]

    def ack(self, played: int, now: int) -> None:
        """Take the client's word."""
        self._acked = max(0, min(played, self.samples))
        self._acked_at = now

    def pause(self, now: int) -> None:
        """The loudspeaker holds still."""
        self.paused_at = now

    def resume(self, now: int) -> None:
        """The loudspeaker goes on."""
        if self.paused_at is not None and self._started is not None:
            self._started += now - self.paused_at
            self._acked_at = now
        self.paused_at = None

    def heard(self, now: int) -> int:
        """Samples that the user has heard."""
        if self._started is None:
            return 0
        now = now if self.paused_at is None else self.paused_at
        if self._acked is None:
            return min(self.samples, max(0, now - self._started))
        since = max(0, now - self._acked_at)
        return min(self.samples, self._acked + min(since, LATEST_ACK_SAMPLES))

    def audible(self, now: int) -> bool:
        """Whether something is still to be heard."""
        return self._started is not None and (not self.ended or self.heard(now) < self.samples)

    def reference(self, now: int) -> bytes:
        """What may be in the room's air right now: sound from 1.5 s before the heard position on."""
        behind = self.samples - self.heard(now) + to_samples(1_500)
        ahead = max(0, self.samples - self.heard(now) - to_samples(700))
        end = len(self._latest) - ahead * BYTES_PER_SAMPLE
        return bytes(self._latest[max(0, len(self._latest) - behind * BYTES_PER_SAMPLE) : max(0, end)])
