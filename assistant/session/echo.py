"""Does the microphone hear a person, or the assistant itself?"""

import numpy as np
from numpy.typing import NDArray

from audiocodec.numbers import SAMPLE_RATE, exact_div

STEP = exact_div(SAMPLE_RATE, 8_000)  # compared at 8 kHz
# Of full. A loudspeaker straight into the microphone comes to 0.9 and more; 240 ms of the same voice saying
# something else to 0.35, one time in twenty to 0.65. A reverberant room comes to about 0.5: there the client
# has to cancel its echo.
ECHO_CORRELATION = 0.65


def thin(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lower the rate to 8 kHz by averaging; good enough to compare two signals."""
    slow: NDArray[np.float32] = signal[: len(signal) // STEP * STEP].reshape(-1, STEP).mean(axis=1)
    return slow


def is_echo(heard: NDArray[np.float32], said: NDArray[np.float32]) -> bool:
    """Find ``heard`` somewhere within ``said`` (both at 24 kHz), at any delay and loudness.

    The peak of the normalised cross-correlation is compared with ECHO_CORRELATION. A loudspeaker's and a
    room's colouring lower it; a second voice lowers it more.
    """
    short, long = thin(heard), thin(said)
    if len(short) < 400 or len(long) < len(short):
        return False
    short = short - short.mean()
    size = 1 << (len(long) + len(short)).bit_length()
    product = np.fft.irfft(np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size)), size)
    lags = len(long) - len(short) + 1
    energy = np.concatenate([[0.0], np.cumsum(np.square(long, dtype=np.float64))])
    windows = energy[len(short) :] - energy[:lags]
    scale = np.sqrt(np.maximum(windows, 1e-6) * max(float(np.square(short).sum()), 1e-6))
    return bool(np.max(np.abs(product[:lags]) / scale) > ECHO_CORRELATION)
