"""What happens to a voice before a microphone hands it over: rooms, noise, music, distance, bad devices.

Everything is drawn from a numpy generator, so a seed gives the same sound again.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

Audio = NDArray[np.float32]
SAMPLE_RATE = 24_000
NOISE_S = 40.0


def coloured_noise(samples: int, slope: float, rng: np.random.Generator) -> Audio:
    """Noise whose power falls with frequency to the power ``slope``: 0 white, 1 pink, 2 brown."""
    spectrum = rfft(rng.standard_normal(samples).astype(np.float32))
    frequency = np.maximum(rfftfreq(samples, 1 / SAMPLE_RATE), 20.0)
    return np.asarray(irfft(spectrum * frequency ** (-slope / 2), samples), np.float32)


def hum(samples: int, rng: np.random.Generator) -> Audio:
    """Mains hum with its harmonics."""
    time = np.arange(samples) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0])
    parts = [
        rng.uniform(0, 1) / order * np.sin(2 * np.pi * base * order * time + rng.uniform(0, 6))
        for order in range(1, 9)
    ]
    return np.asarray(sum(parts) + 0.02 * coloured_noise(samples, 0.0, rng), np.float32)


def keyboard(samples: int, rng: np.random.Generator) -> Audio:
    """Bursts of clicks."""
    out = 0.003 * coloured_noise(samples, 1.0, rng)
    out = out / (np.abs(out).max() + 1e-9) * 0.02
    for start in np.cumsum(rng.exponential(0.16, int(samples / SAMPLE_RATE * 6)) * SAMPLE_RATE).astype(int):
        length = int(rng.uniform(0.004, 0.03) * SAMPLE_RATE)
        if start + length < samples:
            fade = np.exp(-np.linspace(0, 6, length))
            out[start : start + length] += rng.uniform(0.2, 1) * fade * rng.standard_normal(length)
    return np.asarray(out, np.float32)


def music(samples: int, rng: np.random.Generator) -> Audio:
    """Chords with decaying harmonics over a beat."""
    out = np.zeros(samples, np.float32)
    beat = int(rng.uniform(0.25, 0.7) * SAMPLE_RATE)
    root = rng.uniform(80, 220)
    for start in range(0, samples - beat, beat):
        length = min(int(beat * rng.choice([1, 2, 4])), samples - start)
        time = np.arange(length) / SAMPLE_RATE
        for interval in rng.choice([0, 3, 4, 5, 7, 9, 12, 16, 19], int(rng.integers(1, 5))):
            pitch = root * 2 ** (interval / 12)
            decay = np.exp(-time * rng.uniform(1, 5))
            for order in range(1, int(rng.integers(2, 9))):
                out[start : start + length] += decay / order * np.sin(2 * np.pi * pitch * order * time)
        if rng.random() < 0.5:
            drum = min(int(0.08 * SAMPLE_RATE), samples - start)
            out[start : start + drum] += 2 * rng.standard_normal(drum) * np.exp(-np.linspace(0, 7, drum))
        if rng.random() < 0.15:
            root = rng.uniform(80, 220)
    return out


def room(rng: np.random.Generator) -> Audio:
    """A room's impulse response: direct sound, a few echoes, an exponential tail."""
    decay_s = rng.uniform(0.1, 0.7)
    length = int(decay_s * SAMPLE_RATE)
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length) * rng.uniform(0.01, 0.08)
    tail[: int(0.003 * SAMPLE_RATE)] = 0
    for _ in range(int(rng.integers(2, 7))):
        tail[int(rng.uniform(0.003, 0.05) * SAMPLE_RATE)] += rng.uniform(-0.5, 0.5)
    tail[0] = 1.0
    return np.asarray(tail, np.float32)


def recorded_rooms(folder: Path) -> list[Audio]:
    """Read impulse responses (sound files named .bin), each from its loudest sample on, at 24 kHz."""
    rooms = []
    for path in sorted(folder.glob("*.bin")):
        response, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        response = soxr.resample(response[:, 0], sample_rate, SAMPLE_RATE)
        start = int(np.abs(response).argmax())
        rooms.append(np.asarray(response[start : start + SAMPLE_RATE] / abs(response[start]), np.float32))
    return rooms


def convolve(audio: Audio, response: Audio) -> Audio:
    """Convolve and keep the length."""
    size = next_fast_len(len(audio) + len(response) - 1, real=True)
    return np.asarray(irfft(rfft(audio, size) * rfft(response, size), size)[: len(audio)], np.float32)


@dataclass(frozen=True, slots=True)
class Worn:
    """An utterance as the microphone gives it."""

    heard: Audio
    start: int  # first sample of the voice
    end: int  # last
    factor: float  # how many times faster than it was made


@dataclass(frozen=True, slots=True)
class Noisiness:
    """How often noise is added to a voice, and how far it lies below it, evenly drawn."""

    share: float
    ratio_db: tuple[float, float]


LEARNED_NOISE = Noisiness(0.6, (0.0, 30.0))
TESTED_NOISE = Noisiness(0.5, (3.0, 35.0))  # stays, so that figures of different days are of like clips


class Wear:
    """Draws rooms, noises and devices for utterances."""

    def __init__(
        self,
        rooms: Path,
        voices: list[Audio],
        seed: int = 0,
        strength: float = 1.0,
        noise_s: float = NOISE_S,
        noisiness: Noisiness = LEARNED_NOISE,
    ) -> None:
        """``voices`` become babble; ``strength`` 0..1 is how much of all this happens;
        each noise is ``noise_s`` long."""
        self.strength, self.noisiness = strength, noisiness
        rng, samples = np.random.default_rng(seed), int(noise_s * SAMPLE_RATE)
        self.rooms = recorded_rooms(rooms) + [room(rng) for _ in range(60)]
        noises = [coloured_noise(samples, slope, rng) for slope in (0.0, 0.5, 1.0, 1.0, 1.5, 2.0)]
        noises += [hum(samples, rng), keyboard(samples, rng), keyboard(samples, rng)]
        noises += [music(samples, rng) for _ in range(6)]
        for talkers in (3, 6, 10) if voices else ():
            babble = np.zeros(samples, np.float32)
            for _ in range(talkers * 12):
                voice = voices[int(rng.integers(len(voices)))][:samples]
                start = int(rng.integers(samples - len(voice) + 1))
                babble[start : start + len(voice)] += voice
            noises.append(babble)
        self.noises = [noise / (np.sqrt(np.mean(noise**2)) + 1e-9) for noise in noises]

    def noise(self, samples: int, rng: np.random.Generator) -> Audio:
        """A stretch of some noise at RMS 1, made of two kinds at times."""
        out = np.zeros(samples, np.float32)
        for _ in range(1 + int(rng.random() < 0.3)):
            source = self.noises[int(rng.integers(len(self.noises)))]
            start = int(rng.integers(len(source)))
            out += rng.uniform(0.3, 1) * np.resize(
                np.roll(source, -start)[: min(samples, len(source))], samples
            )
        return np.asarray(out / (np.sqrt(np.mean(out**2)) + 1e-9), np.float32)

    def __call__(
        self, pcm: NDArray[np.int16], rng: np.random.Generator, after_s: tuple[float, float] = (0.25, 0.5)
    ) -> Worn:
        """Change an utterance's speed, put silence around it (``after_s`` behind it), and wear it."""
        voice = pcm.astype(np.float32) / 32_768
        factor = float(rng.uniform(0.86, 1.16)) if rng.random() < 0.6 else 1.0
        if factor != 1.0:
            voice = np.interp(np.arange(0, len(voice) - 1, factor), np.arange(len(voice)), voice).astype(
                np.float32
            )
        before, after = int(rng.uniform(0.0, 0.3) * SAMPLE_RATE), int(rng.uniform(*after_s) * SAMPLE_RATE)
        heard: Audio = np.pad(voice, (before, after))
        if rng.random() < 0.35 * self.strength:
            heard = convolve(heard, self.rooms[int(rng.integers(len(self.rooms)))])
        level = float(np.sqrt(np.mean(heard[before : before + len(voice)] ** 2))) + 1e-6
        if rng.random() < self.noisiness.share * self.strength:
            noise = self.noise(len(heard), rng)
            heard = heard + noise * level * 10 ** (-rng.uniform(*self.noisiness.ratio_db) / 20)
        else:
            hiss = rng.standard_normal(len(heard), dtype=np.float32)
            heard = heard + hiss * 10 ** (-rng.uniform(70, 100) / 20)
        if rng.random() < 0.06 * self.strength:
            limit = float(np.abs(heard).max()) * rng.uniform(0.15, 0.7)
            heard = np.clip(heard, -limit, limit)
        heard = heard * 10 ** (-rng.uniform(0, 10 + 20 * self.strength) / 20)
        if rng.random() < 0.06 * self.strength:
            coarse = np.round(np.sqrt(np.abs(heard)) * 40) / 40  # a companding codec of few levels
            heard = np.asarray(np.sign(heard) * coarse**2, np.float32)
        return Worn(heard.astype(np.float32), before, before + len(voice), factor)

    def nothing(self, samples: int, rng: np.random.Generator) -> Audio:
        """Sound without a word in it: silence, noise or music at any level."""
        if rng.random() < 0.15:
            return np.zeros(samples, np.float32)
        kinds = self.noises[:15]  # not the babble: words may be heard in it
        source = kinds[int(rng.integers(len(kinds)))]
        out = np.resize(np.roll(source, -int(rng.integers(len(source))))[:samples], samples)
        return np.asarray(out * 10 ** (-rng.uniform(10, 70) / 20), np.float32)
