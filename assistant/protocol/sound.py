"""Sound on the wire: base64 of PCM at 24 kHz or of G.711 at 8 kHz."""

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from assistant.session.errors import Refused
from assistant.session.resample import Resampler
from audiocodec.numbers import SAMPLE_RATE, exact_div

PCM, MU_LAW, A_LAW = "audio/pcm", "audio/pcmu", "audio/pcma"
G711_RATE = 8_000
RATIO = exact_div(SAMPLE_RATE, G711_RATE)
FULL = 32_768.0
SEGMENT_ENDS = np.array([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF])


def unbase64(text: object, param: str) -> bytes:
    """Decode strictly. Raises Refused("invalid_audio")."""
    if not isinstance(text, str):
        raise Refused("invalid_value", f"{param} must be a base64 string.", param=param)
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("invalid_audio", f"{param} is not valid base64.", param=param) from None


def decode_mu_law(data: bytes) -> NDArray[np.float32]:
    """ITU-T G.711, table 2: one byte to a sample in [-1, 1]."""
    code = ~np.frombuffer(data, np.uint8)
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = (((mantissa.astype(np.int32) << 3) + 0x84) << exponent) - 0x84
    return (np.where(code & 0x80, -size, size) / FULL).astype(np.float32)


def encode_mu_law(signal: NDArray[np.float32]) -> bytes:
    """ITU-T G.711, table 2: samples in [-1, 1] to bytes."""
    value = np.clip(signal * FULL, -32_635, 32_635).astype(np.int32)
    size = np.abs(value) + 0x84
    exponent = np.clip(np.floor(np.log2(size)).astype(np.int32) - 7, 0, 7)
    mantissa = (size >> (exponent + 3)) & 15
    code = (np.where(value < 0, 0x80, 0) | (exponent << 4) | mantissa).astype(np.uint8)
    return bytes((~code).tobytes())


def decode_a_law(data: bytes) -> NDArray[np.float32]:
    """ITU-T G.711, table 1: one byte to a sample in [-1, 1]."""
    code = np.frombuffer(data, np.uint8) ^ 0x55
    exponent, mantissa = ((code >> 4) & 7).astype(np.int32), (code & 15).astype(np.int32)
    step = (mantissa << 4) + 8
    size = np.where(exponent == 0, step, (step + 0x100) << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, size, -size) / FULL).astype(np.float32)


def encode_a_law(signal: NDArray[np.float32]) -> bytes:
    """ITU-T G.711, table 1: samples in [-1, 1] to bytes."""
    value = np.clip(signal * FULL, -32_768, 32_767).astype(np.int32) >> 3
    size = np.where(value >= 0, value, -value - 1)
    segment = np.searchsorted(SEGMENT_ENDS, size).astype(np.int32)
    size = np.minimum(size, 0xFFF)
    code = (segment << 4) | ((size >> np.maximum(segment, 1)) & 15)
    mask = np.where(value >= 0, 0xD5, 0x55)
    return bytes((code ^ mask).astype(np.uint8).tobytes())


class SoundReader:
    """Turns appended sound into PCM at 24 kHz; holds the resampler's history of one stream."""

    def __init__(self, kind: str = PCM) -> None:
        self.kind = kind
        self._resampler = Resampler(RATIO, 1)

    def read(self, text: object, param: str) -> bytes:
        """Decode one append. Raises Refused for what is no base64 or ends within a sample."""
        data = unbase64(text, param)
        if self.kind == PCM:
            if len(data) % 2:
                raise Refused(
                    "invalid_audio",
                    f"{param} holds {len(data)} bytes; a sample has 2, so send whole samples.",
                    param=param,
                )
            return data
        signal = decode_mu_law(data) if self.kind == MU_LAW else decode_a_law(data)
        raised = self._resampler.process(signal)
        return (np.clip(raised, -1, 1) * 32_767).astype("<i2").tobytes()


class SoundWriter:
    """Turns an answer's PCM at 24 kHz into what goes on the wire; one per answer."""

    def __init__(self, kind: str = PCM) -> None:
        self.kind = kind
        self._resampler = Resampler(1, RATIO)

    def write(self, pcm: bytes) -> str:
        """Encode one piece as base64."""
        if self.kind != PCM:
            signal = self._resampler.process(np.frombuffer(pcm, "<i2").astype(np.float32) / FULL)
            pcm = encode_mu_law(signal) if self.kind == MU_LAW else encode_a_law(signal)
        return base64.b64encode(pcm).decode("ascii")
