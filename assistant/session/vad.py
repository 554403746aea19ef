"""Is this speech? Voice activity of 20 ms frames, and what kind of sound a short burst is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from assistant.session.resample import Resampler
from audiocodec.numbers import SAMPLE_RATE

FULL_SCALE = 32_768.0
SILENCE_DB = -90.0
FLOOR_RISE_DB = 0.04  # per frame: the noise floor creeps up by 2 dB a second
ABOVE_FLOOR_DB = 8.0  # speech stands out from the room by at least this
BELOW_PEAK_DB = 32.0  # after a word, what is this much quieter than the word is its reverberation
PEAK_FALL_DB = 0.3  # per frame: the loudness that words are compared with falls by 15 dB a second


class VoiceActivity(Protocol):
    """Judges one stream, frame by frame."""

    def speech(self, frame: NDArray[np.float32]) -> bool:
        """Say whether the next 20 ms (480 samples in [-1, 1] at 24 kHz) are speech."""
        ...


def samples(pcm: bytes | bytearray) -> NDArray[np.float32]:
    """Turn int16 PCM into float32 in [-1, 1]."""
    return np.frombuffer(bytes(pcm), "<i2").astype(np.float32) / FULL_SCALE


def level_db(signal: NDArray[np.float32]) -> float:
    """Root mean square in dB below full scale."""
    power = float(np.mean(np.square(signal))) if len(signal) else 0.0
    return 10 * float(np.log10(power)) if power > 1e-9 else SILENCE_DB


class LevelVoice:
    """Speech is what is loud enough; for tests and as the gate inside WebRtcVoice."""

    def __init__(self) -> None:
        self._floor = -60.0
        self._peak = SILENCE_DB

    def speech(self, frame: NDArray[np.float32]) -> bool:
        """Compare the frame with the room's floor and with the last word's loudness."""
        level = level_db(frame)
        self._floor = min(level, self._floor + FLOOR_RISE_DB) if level > SILENCE_DB else self._floor
        self._floor = max(self._floor, -70.0)
        self._peak = max(level, self._peak - PEAK_FALL_DB)
        return level > self._floor + ABOVE_FLOOR_DB and level > self._peak - BELOW_PEAK_DB


class WebRtcVoice:
    """WebRTC's detector, gated by level: the gate removes the detector's hang-over of up to 100 ms.

    Source: the package webrtcvad-wheels; modes 0 (lenient) to 3 (strict).
    """

    def __init__(self, threshold: float = 0.5) -> None:
        import webrtcvad

        self._detector = webrtcvad.Vad(1 if threshold < 0.4 else 2 if threshold < 0.7 else 3)
        self._resampler = Resampler(2, 3)  # 24 to 16 kHz
        self._gate = LevelVoice()

    def speech(self, frame: NDArray[np.float32]) -> bool:
        """Ask the detector, then the gate."""
        slow = self._resampler.process(frame)
        pcm = (np.clip(slow, -1, 1) * 32_767).astype("<i2").tobytes()
        loud = self._gate.speech(frame)
        return bool(self._detector.is_speech(pcm, 16_000)) and loud


@dataclass(frozen=True, slots=True)
class SoundKind:
    """What a stretch of sound is like."""

    periodic: float  # 0 noise .. 1 a steady voice
    bright: float  # share of the energy above 1 kHz, in dB; a hum with closed lips has hardly any


def describe(signal: NDArray[np.float32]) -> SoundKind:
    """Measure periodicity (70 to 400 Hz) and brightness of at least 40 ms at 24 kHz."""
    centred = signal - signal.mean()
    size = 1 << (2 * len(centred) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(centred * np.hanning(len(centred)), size)) ** 2
    total = float(spectrum.sum()) + 1e-9
    edge = 1_000 * size // SAMPLE_RATE
    bright = 10 * float(np.log10(float(spectrum[edge:].sum()) / total + 1e-9))
    correlation = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2, size)
    low, high = SAMPLE_RATE // 400, SAMPLE_RATE // 70
    overlap = np.maximum(len(centred) - np.arange(high), 1) / len(centred)
    normal = correlation[:high] / overlap / (float(correlation[0]) + 1e-9)
    return SoundKind(periodic=float(np.clip(normal[low:].max(), 0, 1)), bright=bright)
