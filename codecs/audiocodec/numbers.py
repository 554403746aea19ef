"""The numbers that every part of the assistant shares. Each derives from the ones above it.

This module imports nothing, so that parts without torch (session, protocol, clients) can read it.
"""


def exact_div(numerator: int, denominator: int) -> int:
    """Divide two integers that must divide without remainder."""
    if numerator % denominator:
        raise ValueError(f"{numerator} is not a multiple of {denominator}")
    return numerator // denominator


SAMPLE_RATE = 24_000  # Hz, microphone to loudspeaker, as the realtime protocol carries it

MEL_HOP_LENGTH = 240  # samples per mel frame: 10 ms
MEL_FRAME_RATE = exact_div(SAMPLE_RATE, MEL_HOP_LENGTH)  # 100 Hz
N_MELS = 100
N_FFT = 1_024
MEL_WINDOW_LENGTH = 960  # samples; mel frame t needs no sample after (t + 1) * MEL_HOP_LENGTH
LOG_FLOOR = 1e-5  # magnitudes below it count as silence

CODEC_HOP_LENGTH = 1_920  # samples per codec frame: 80 ms
MEL_FRAMES_PER_CODEC_FRAME = exact_div(CODEC_HOP_LENGTH, MEL_HOP_LENGTH)  # 8
CODEC_FRAME_RATE = SAMPLE_RATE / CODEC_HOP_LENGTH  # 12.5 Hz
MAX_BITRATE = 1_200  # bit/s of codec tokens

ENCODER_BLOCK_FRAMES = 2  # codec frames heard at once on the live path
ENCODER_BLOCK_LENGTH = ENCODER_BLOCK_FRAMES * CODEC_HOP_LENGTH  # samples: 160 ms

LISTEN_SAMPLE_RATE = 16_000  # Hz, after the encoder's resampler
LISTEN_N_MELS = 80
LISTEN_WINDOW_LENGTH = 400  # samples at LISTEN_SAMPLE_RATE: 25 ms
LISTEN_HOP_LENGTH = 160  # samples at LISTEN_SAMPLE_RATE: 10 ms
LISTEN_CODEC_HOP_LENGTH = exact_div(CODEC_HOP_LENGTH * LISTEN_SAMPLE_RATE, SAMPLE_RATE)  # 1,280
