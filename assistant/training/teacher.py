"""The teacher of the voice: hibari's graph opened up, so that style, pace and pitch can be set and are known.

The graph gives per 12.5 ms the logarithms of three spectral envelopes (of the pulses, of noise and of a rest
with phases of its own) and the pitch, and the phonemes' durations. All that is changed is changed here,
before synthesis, so that whatever learns from the sound knows exactly what was asked for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import DependencyError
from assistant.training.voices import DURATION_UNIT, open_graph

Floats = NDArray[np.float32]
TEACHER_HOP = 300  # samples
VOICED_HZ = 40.0
MOST = 7.0  # natural log, where the teacher's synthesis clips its envelopes
PULSE_SCALE = 300.0  # the teacher's transform of a cosine of amplitude 1: a quarter of its 1,200 samples
NOISE_SCALE = 1_800**0.5  # of noise of deviation 1, with the teacher's windows
REST_SCALE = 450**0.5  # the transform's root mean square for noise of deviation 1
NOTHING = -30.0  # log gain of what is not there
WHISPER_TILT_DB = 9.0  # from 0 Hz to 12 kHz: breath has less bass than a voice
WHISPER_GAIN = -2.2  # natural log, brings noise to the level of quiet speech


@dataclass(frozen=True, slots=True)
class Manner:
    """How a style sounds, relative to the teacher's own voice."""

    pitch: float = 1.0  # factor on the mean
    spread: float = 1.0  # factor on the distance from the mean, in log frequency
    rate: float = 1.0
    gain_db: float = 0.0
    whispered: bool = False


MANNERS = {
    "neutral": Manner(),
    "cheerful": Manner(pitch=1.08, spread=1.3, rate=1.05, gain_db=1.0),
    "calm": Manner(pitch=0.94, spread=0.75, rate=0.88, gain_db=-2.0),
    "whisper": Manner(rate=0.95, gain_db=-4.0, whispered=True),
    "excited": Manner(pitch=1.18, spread=1.5, rate=1.12, gain_db=2.0),
}


def blend(manner: Manner, strength: float) -> Manner:
    """Weaken a manner towards neutral; 1 leaves it, 0 takes it away."""
    return Manner(
        manner.pitch**strength,
        manner.spread**strength,
        manner.rate**strength,
        manner.gain_db * strength,
        manner.whispered,
    )


@dataclass(frozen=True, slots=True)
class Performance:
    """One spoken sentence with everything that was decided in it."""

    audio: Floats  # mono, 24 kHz
    durations: NDArray[np.int64]  # per phoneme id, in units of 25 ms, pads at both ends included
    f0_hz: Floats  # per 12.5 ms; 0 where unvoiced
    tone: Floats  # (bins, frames) log amplitude of a harmonic at each frequency
    hiss: Floats  # (bins, frames) log root mean square of white noise that is as loud there
    rest: Floats  # (bins, frames) log root mean square, like ``hiss``, of the rest
    angle: Floats  # (bins, frames) phase of the rest in the frame's transform


class Teacher:
    """Speaks phonemes with a manner."""

    def __init__(self) -> None:
        try:
            from hibari import Hibari, dsp
        except ImportError as error:
            raise DependencyError(f"{error.name} is missing: install vivavoce[train]") from error
        from pathlib import Path

        self.voice = Hibari(threads=1)
        self.session: Any = open_graph(Path(self.voice.model_path), add="/Round_output_0")
        self.dsp: Any = dsp

    def phonemes(self, text: str) -> list[str]:
        """Phonemes of every sentence in a text."""
        return list(self.voice.phonemize(text))

    def ids(self, phonemes: str) -> list[int]:
        """Ids with the pads at both ends; phonemes outside the teacher's alphabet are left out."""
        return list(self.voice.ids(phonemes))

    def perform(self, ids: list[int], manner: Manner, seed: int) -> Performance:
        """Speak one sentence."""
        feed = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([manner.rate], np.float32)}
        *parts, durations = self.session.run(None, feed)
        tone, phase, hiss, rest, angle, f0 = (part[0] for part in parts)
        if manner.pitch != 1 or manner.spread != 1:
            tone = between_harmonics(tone, f0)
            f0 = bend(f0, manner)
        if manner.whispered:
            hiss = np.logaddexp(2 * hiss, 2 * breath(tone)) / 2
            tone, f0 = tone + NOTHING, np.zeros_like(f0)
        rng = np.random.default_rng(seed)
        audio = self.dsp.synth(tone, phase, hiss, rest, angle, f0, rng) * 10 ** (manner.gain_db / 20)
        durations = np.maximum(np.round(durations), 1).astype(np.int64).reshape(-1)
        assert durations.sum() * DURATION_UNIT == len(audio)
        voiced = np.where(f0 > VOICED_HZ, f0, 0).astype(np.float32)
        gain = np.log(10) * manner.gain_db / 20
        tone = np.minimum(tone, MOST) + gain - np.log(PULSE_SCALE)
        hiss = np.minimum(hiss, MOST) + gain - np.log(NOISE_SCALE)
        rest = np.minimum(rest, MOST) + gain - np.log(REST_SCALE)
        return Performance(audio.astype(np.float32), durations, voiced, tone, hiss, rest, angle)


def bend(f0_hz: Floats, manner: Manner) -> Floats:
    """Move and widen a pitch curve about its own median."""
    voiced = f0_hz > VOICED_HZ
    if not voiced.any():
        return f0_hz
    height = np.log(np.maximum(f0_hz, VOICED_HZ))
    middle = np.median(height[voiced])
    bent = np.exp(middle + (height - middle) * manner.spread) * manner.pitch
    return np.where(voiced, np.clip(bent, VOICED_HZ * 1.5, 600.0), 0).astype(np.float32)


def between_harmonics(tone: Floats, f0_hz: Floats) -> Floats:
    """Join the pulses' envelope in straight lines from harmonic to harmonic.

    Between them the teacher's graph was never held to anything, and a pitch moved there would hear it.
    """
    bins = np.arange(len(tone), dtype=np.float32) * (24_000 / 2 / (len(tone) - 1))
    joined = tone.copy()
    for frame in np.flatnonzero(f0_hz > VOICED_HZ):
        harmonics = np.arange(1, int(11_000 / f0_hz[frame]) + 1, dtype=np.float32) * f0_hz[frame]
        joined[:, frame] = np.interp(bins, harmonics, np.interp(harmonics, bins, tone[:, frame]))
    return joined


def breath(tone: Floats) -> Floats:
    """Turn the pulses' envelope into that of the noise of a whisper."""
    tilt = np.linspace(-1, 0, len(tone), dtype=np.float32)[:, None] * (WHISPER_TILT_DB / 8.7)
    return np.asarray(np.minimum(tone, 7.0) + tilt + WHISPER_GAIN, np.float32)


def filters_at(done: Performance, samples: NDArray[np.int64], bins: int) -> Floats:
    """Read the envelopes of pulses and noise at sample positions and evenly spaced frequencies:
    (len(samples), 2 * bins).
    """
    frames = done.tone.shape[1]
    place = np.clip(samples / TEACHER_HOP, 0, frames - 1)
    low = np.floor(place).astype(np.int64)
    part, high = (place - low)[None], np.minimum(low + 1, frames - 1)
    pitch = np.linspace(0, len(done.tone) - 1, bins)
    below = np.minimum(np.floor(pitch).astype(np.int64), len(done.tone) - 2)
    share = (pitch - below)[:, None]
    found = []
    for envelope in (done.tone, done.hiss):
        then = envelope[:, low] * (1 - part) + envelope[:, high] * part
        found.append(then[below] * (1 - share) + then[below + 1] * share)
    return np.ascontiguousarray(np.concatenate(found).T, np.float32)  # files are written in memory order


def rests_at(done: Performance, samples: NDArray[np.int64]) -> Floats:
    """Take the rest's frames centred at sample positions: (len(samples), 2 * bins), log gain and phase.

    They cannot be interpolated: each one fits its neighbours.
    """
    frames = samples // TEACHER_HOP
    inside = (frames >= 0) & (frames < done.rest.shape[1]) & (samples % TEACHER_HOP == 0)
    found = np.zeros((len(samples), 2 * len(done.rest)), np.float32)
    found[:, : len(done.rest)] = NOTHING
    found[inside] = np.concatenate([done.rest, done.angle])[:, frames[inside]].T
    return found


def pitch_at(f0_hz: Floats, samples: NDArray[np.int64]) -> Floats:
    """Read a pitch curve at sample positions; beside an unvoiced frame the nearer frame decides."""
    place = samples / TEACHER_HOP
    low = np.clip(np.floor(place).astype(np.int64), 0, len(f0_hz) - 1)
    high = np.minimum(low + 1, len(f0_hz) - 1)
    part = np.clip(place - low, 0, 1)
    a, b = f0_hz[low], f0_hz[high]
    both = (a > 0) & (b > 0)
    return np.where(both, a + (b - a) * part, np.where(part < 0.5, a, b)).astype(np.float32)
