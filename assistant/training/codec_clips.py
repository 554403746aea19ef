"""Crops of clean training speech for the codec's nets: at other speeds, hence voices, and levels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from assistant.errors import WeightsError
from assistant.training.speech_data import CorpusAudio, Utterance, never_learned, read_corpus
from audiocodec.listener import PITCH_WIDTH, Codebooks
from audiocodec.numbers import CODEC_HOP_LENGTH, SAMPLE_RATE
from audiocodec.prosody import Prosody
from audiocodec.resample import Downsampler

SPEED = 0.14  # largest change of speed and pitch together, natural log
LEVEL = (-0.8, 0.1)  # decades
SILENCE_S = 0.5  # at most, before and after a voice
COLOURS = ((6, 0.5), (28, 0.2))  # points in pitch between which a colour is smooth, log gain at each


class CodecClips:
    """Draws crops from corpora; of each as often as its share tells."""

    def __init__(self, folders: Mapping[Path, int]) -> None:
        """
        Raises:
            WeightsError: there is no speech.
        """
        self.corpora: list[tuple[CorpusAudio, list[Utterance]]] = []
        self.shares: list[int] = []
        for folder, share in folders.items():
            records = [one for one in read_corpus(folder) if not never_learned(one.source, one.voice)]
            if records:
                self.corpora.append((CorpusAudio(folder), records))
                self.shares.append(share)
        if not self.corpora:
            raise WeightsError("no speech: run `vivavoce train speech-data kokoro` and the same with hibari")

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> Tensor:
        """Cut ``count`` crops of so many codec frames: PCM (count, samples) at 24 kHz."""
        chances = np.array(self.shares) / sum(self.shares)
        crops = []
        for _ in range(count):
            audio, records = self.corpora[int(rng.choice(len(chances), p=chances))]
            crops.append(
                crop(audio(records[int(rng.integers(len(records)))]), rng, frames * CODEC_HOP_LENGTH)
            )
        return torch.from_numpy(np.stack(crops))


def crop(sound: NDArray[np.int16], rng: np.random.Generator, samples: int) -> NDArray[np.float32]:
    """Cut so many samples anywhere from an utterance with silence around it, and change their speed and
    level.
    """
    speed = float(np.exp(rng.uniform(-SPEED, SPEED)))
    needed = int(samples * speed) + 64
    before, after = (int(rng.uniform(0, SILENCE_S) * SAMPLE_RATE) for _ in range(2))
    padded = np.pad(sound.astype(np.float32) / 32_768, (before, after + needed))
    start = int(rng.integers(max(1, before + len(sound) + after - needed)))
    other = soxr.resample(padded[start : start + needed], SAMPLE_RATE * speed, SAMPLE_RATE, "QQ")[:samples]
    return np.asarray(other * 10 ** rng.uniform(*LEVEL), np.float32)


def coloured(pcm: Tensor, rng: np.random.Generator) -> Tensor:
    """PCM (B, samples) as loud as before, each as if from another throat and microphone: one smooth filter.

    Much of what tells voices apart is such a filter, and made voices are few.
    """
    bins = np.fft.rfftfreq(pcm.shape[1], 1 / SAMPLE_RATE)
    pitch = np.log1p(bins / 700)  # as the mel scale
    gain = np.zeros((len(pcm), len(pitch)))
    for points, deviation in COLOURS:
        places = np.linspace(0, pitch[-1], points)
        gain += [np.interp(pitch, places, rng.normal(0, deviation, points)) for _ in pcm]
    other: Tensor = torch.fft.irfft(
        torch.fft.rfft(pcm) * torch.from_numpy(np.exp(gain)).float(), pcm.shape[1]
    )
    louder = (pcm.square().mean(dim=1) / other.square().mean(dim=1).clamp(min=1e-12)).sqrt()
    scaled: Tensor = other * louder[:, None]
    return scaled


@dataclass(frozen=True)
class CodedProsody:
    """What is left of a sound's prosody after its codes."""

    codebooks: Codebooks

    @torch.no_grad()
    def __call__(self, pcm: Tensor) -> Tensor:
        """Prosody (B, T, PROSODY_WIDTH) of PCM (B, T * CODEC_HOP_LENGTH), with nothing before it."""
        resample, measure = Downsampler(), Prosody()
        samples, _ = resample(pcm, resample.initial_state(len(pcm)))
        prosody, _ = measure(samples, measure.initial_state(len(pcm)))
        _, pitch = self.codebooks.pitch(prosody[..., :PITCH_WIDTH])
        _, loudness = self.codebooks.loudness(prosody[..., PITCH_WIDTH:])
        return torch.cat([pitch, loudness], dim=-1)
