"""The sample clock: the only place that turns samples, milliseconds and bytes into one another."""

from audiocodec.numbers import SAMPLE_RATE, exact_div

BYTES_PER_SAMPLE = 2  # int16
FRAME_MS = 20  # one voice-activity frame
FRAME_SAMPLES = exact_div(SAMPLE_RATE * FRAME_MS, 1_000)
FRAME_BYTES = FRAME_SAMPLES * BYTES_PER_SAMPLE


def to_ms(samples: int) -> int:
    """Whole milliseconds that so many samples last."""
    return samples * 1_000 // SAMPLE_RATE


def to_samples(ms: int) -> int:
    """Samples in so many milliseconds."""
    return ms * SAMPLE_RATE // 1_000


def count(pcm: bytes | bytearray) -> int:
    """Samples in a piece of PCM."""
    return len(pcm) // BYTES_PER_SAMPLE
