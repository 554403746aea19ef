"""Batches of worn speech for the encoder: mels, targets, and where each word was said."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assistant.training.augment import Audio, Wear, Worn
from assistant.training.mel_wear import bent_sounds, hide, other_throat, uneven_pace
from assistant.training.speech_data import CorpusAudio, Utterance, never_learned, read_corpus, trimmed
from assistant.training.texts import spoken_form
from audiocodec.front_end import REFERENCE_FLOOR, FrontEnd, normalise
from audiocodec.numbers import CODEC_HOP_LENGTH, ENCODER_BLOCK_LENGTH

MAX_UTTERANCE_S = 9.0
GENTLE, FULL_STEPS = 0.3, 3_000
THROATS = (0.84, 1.19)  # factors on the resonances


def strength(step: int) -> float:
    """How much rooms, noise and devices do to the sound: little at first, then ever more."""
    return GENTLE + (1 - GENTLE) * min(1.0, step / FULL_STEPS)


def padded(sounds: list[Audio], blocks: int) -> Tensor:
    """Sounds as rows of whole blocks, silence after the shorter ones."""
    rows = torch.zeros(len(sounds), blocks * ENCODER_BLOCK_LENGTH)
    for row, sound in zip(rows, sounds, strict=True):
        row[: min(len(sound), len(row))] = torch.from_numpy(sound[: len(row)])
    return rows


def place(ends: list[list[tuple[int, int]] | None], frames: int) -> Tensor:
    """Put each row on the frame after the one in which it ends, or the next free one."""
    placed = torch.full((len(ends), frames), -1)
    for index, timed in enumerate(ends):
        if timed is None:
            placed[index] = -2
            continue
        free = 0
        for row, sample in timed:
            free = max(free, sample // CODEC_HOP_LENGTH + 1)
            if free < frames:
                placed[index, free] = row
            free += 1
    return placed


@dataclass(frozen=True, slots=True)
class Batch:
    """Worn utterances of one training step."""

    mel: Tensor  # (B, 80, 16 n)
    frames: Tensor  # (B,) codec frames that count
    targets: list[list[int]]  # indices into the reader's rows
    placed: Tensor  # (B, T): row spoken at each frame, -1 none, -2 unknown


@dataclass(frozen=True, slots=True)
class Sound:
    """Where the training speech lies."""

    corpora: tuple[Path, ...]
    shares: tuple[float, ...]  # how often each corpus is drawn
    rooms: Path
    noise_s: float = 40.0  # of each noise


class SpeechBatches:
    """Draws utterances, wears them and makes mels; one generator a step, so that a run can be resumed
    anywhere.
    """

    def __init__(
        self, sound: Sound, tokens: Callable[[str], list[int]], names: frozenset[str], seed: int
    ) -> None:
        """``tokens`` gives the reader's rows for words."""
        self.tokens, self.names, self.seed = tokens, names, seed
        self.worn_before = 0  # steps by which the wear is ahead: an encoder that goes on knows worn speech
        self.front_end = FrontEnd()
        self.shares = np.asarray(sound.shares) / sum(sound.shares)
        self.corpora = []
        for folder in sound.corpora:
            records = [
                record
                for record in read_corpus(folder)
                if record.length < MAX_UTTERANCE_S * 24_000 and not never_learned(record.source, record.voice)
            ]
            records.sort(key=lambda record: record.length)
            self.corpora.append((CorpusAudio(folder), records))
        rng = np.random.default_rng(seed)
        babble = [np.asarray(self.pcm(rng)[1] / 32_768, np.float32) for _ in range(60)]
        self.wear = Wear(sound.rooms, babble, seed, noise_s=sound.noise_s)

    def pcm(self, rng: np.random.Generator, rank: float | None = None) -> tuple[Utterance, NDArray[np.int16]]:
        """One utterance; ``rank`` 0..1 asks for a length (near that quantile)."""
        audio, records = self.corpora[int(rng.choice(len(self.corpora), p=self.shares))]
        if rank is None:
            index = int(rng.integers(len(records)))
        else:
            index = int(
                np.clip(rank * len(records) + rng.normal(0, 0.02 * len(records)), 0, len(records) - 1)
            )
        return records[index], audio(records[index])

    def batch(self, step: int, seconds: float, behind: int = 0, stride: int = 1) -> Batch:
        """The batch of a step, about so many seconds of sound, utterances of like length.

        ``behind`` blocks of silence come after the longest, and then as many as make all blocks a multiple
        of ``stride``.
        """
        rng = np.random.default_rng((self.seed, step))
        self.wear.strength = strength(step + self.worn_before)
        rank = float(rng.random())
        heard: list[Audio] = []
        targets: list[list[int]] = []
        lengths: list[int] = []
        ends: list[list[tuple[int, int]] | None] = []
        while not heard or (len(heard) + 1) * max(lengths) <= seconds * 24_000:
            if rng.random() < 0.04:
                length = max(lengths) if lengths else 48_000
                heard.append(self.wear.nothing(length, rng))
                targets.append([])
                ends.append([])
            else:
                record, pcm = self.pcm(rng, rank)
                pcm, cut = trimmed(pcm)
                worn = self.wear(pcm, rng)
                heard.append(worn.heard)
                targets.append(self.tokens(spoken_form(record.text, self.names)))
                ends.append(self.timing(record, worn, cut))
            lengths.append(len(heard[-1]))
        blocks = -(-max(lengths) // ENCODER_BLOCK_LENGTH)
        frames = torch.tensor([length // CODEC_HOP_LENGTH + 1 for length in lengths]).clamp(max=2 * blocks)
        placed = place(ends, 2 * blocks)
        blocks += behind + -(blocks + behind) % stride
        mel = self.colour(self.power(heard, blocks), rng)
        reference = torch.full((len(heard),), REFERENCE_FLOOR)
        return Batch(normalise(mel, reference)[0], frames, targets, placed)

    def timing(self, record: Utterance, worn: Worn, cut: int) -> list[tuple[int, int]] | None:
        """Each row of an utterance with the sample at which it has been said; nothing where the maker does
        not know.
        """
        words = spoken_form(record.text, self.names).split()
        if len(words) != len(record.word_ends):
            return None
        timed, before = [], float(worn.start)
        for word, end in zip(words, record.word_ends, strict=True):
            rows, after = self.tokens(word), worn.start + (end - cut) / worn.factor
            timed += [
                (row, round(before + (after - before) * (n + 1) / len(rows))) for n, row in enumerate(rows)
            ]
            before = after
        return timed

    def power(self, sounds: list[Audio], blocks: int) -> Tensor:
        """Log mel power of padded sounds, framed as the encoder hears it: (B, 80, 16 blocks)."""
        power: Tensor = self.front_end(padded(sounds, blocks), self.front_end.initial_state(len(sounds)))[1]
        return power

    def colour(self, power: Tensor, rng: np.random.Generator) -> Tensor:
        """Change some throats, bend each microphone's response, cut some to the telephone band, make the pace
        uneven, bend sounds, hide stretches of time and pitch.
        """
        batch, bands, frames = power.shape
        axis = torch.linspace(0, torch.pi, bands)
        power = power.clone()
        for row in power:
            if rng.random() < 0.4:
                row.copy_(other_throat(row, float(rng.uniform(*THROATS))))
            if rng.random() < 0.5 * self.wear.strength:
                curve = sum(
                    rng.normal(0, 0.25) * torch.cos(order * axis + rng.uniform(0, 6)) for order in range(1, 5)
                )
                row += torch.as_tensor(curve)[:, None].float()
            if rng.random() < 0.1 * self.wear.strength:
                row[int(rng.integers(62, 68)) :] -= 5
                row[: int(rng.integers(2, 9))] -= 3
            # Made voices say a sound much alike each time, people do not: hence uneven pace, bent sounds and
            # hidden ones.
            if rng.random() < 0.5 * self.wear.strength:
                row.copy_(uneven_pace(row, rng))
            if rng.random() < 0.4 * self.wear.strength:
                row += bent_sounds(bands, frames, rng)
            hide(row, rng, 0.4 * self.wear.strength)
        return power
