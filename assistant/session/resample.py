"""Change the sample rate by a ratio of small integers, piece by piece."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
TAPS_PER_PHASE = 24  # length of the low-pass, in input samples of the slower side


def low_pass(up: int, down: int) -> Samples:
    """Windowed-sinc low-pass at the lower of the two Nyquist frequencies."""
    widest = max(up, down)
    length = TAPS_PER_PHASE * widest + 1
    time = np.arange(length) - (length - 1) / 2
    taps = np.sinc(time / widest) / widest * np.hanning(length + 2)[1:-1]
    scaled: Samples = (taps / taps.sum() * up).astype(np.float32)
    return scaled


class Resampler:
    """Streaming resampler (any cutting gives the same). Holds its own history: one per stream."""

    def __init__(self, up: int, down: int) -> None:
        self._up, self._down = up, down
        self._taps = low_pass(up, down)
        self._history = np.zeros(len(self._taps) - 1, np.float32)  # on the raised rate
        self._phase = 0  # raised samples until the next output

    def process(self, samples: Samples) -> Samples:
        """Take the next samples and give what has come out of them."""
        raised = np.zeros(len(samples) * self._up, np.float32)
        raised[:: self._up] = samples
        stream = np.concatenate([self._history, raised])
        self._history = stream[len(stream) - len(self._history) :]
        if len(raised) <= self._phase:
            self._phase -= len(raised)
            return np.zeros(0, np.float32)
        filtered = np.convolve(stream, self._taps, "valid")
        result = filtered[self._phase :: self._down]
        self._phase = (self._phase - len(raised)) % self._down
        return result.astype(np.float32)
