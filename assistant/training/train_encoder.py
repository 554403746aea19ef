"""Trains the streaming encoder: distilled from Whisper's while it learns to write words into the model's
space.

The loss is CTC whose output matrix is the language model's own token embedding, frozen, rows normalised, so
that a projected frame lies where the model looks for the token that is heard. Only rows that occur in
the training texts take part. Source of the loss: Graves et al. 2006 (CTC).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assistant.training.augment import Audio, Wear, Worn
from assistant.training.speech_data import CorpusAudio, Utterance, read_corpus
from assistant.training.texts import spoken_form
from assistant.training.whisper_start import WhisperTeacher, teacher_mel
from audiocodec.encoder import Encoder
from audiocodec.front_end import REFERENCE_FLOOR, FrontEnd, normalise
from audiocodec.numbers import CODEC_HOP_LENGTH, ENCODER_BLOCK_LENGTH
from audiocodec.reader import TokenReader

MAX_UTTERANCE_S = 9.0
TEACHER_EVERY = 2  # steps
GENTLE, GENTLE_STEPS = 0.3, 1_500
FRAMES_PER_BLOCK = 16  # mel frames


def strength(step: int) -> float:
    """How much rooms, noise and devices do to the sound: little until the words are found, then ever more."""
    return GENTLE + (1 - GENTLE) * min(1.0, max(0.0, step / GENTLE_STEPS - 1))


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
    teacher_mel: Tensor  # (B, 80, 16 n)
    frames: Tensor  # (B,) codec frames that count
    targets: list[list[int]]  # indices into the reader's rows
    placed: Tensor  # (B, T): row spoken at each frame, -1 none, -2 unknown


@dataclass(frozen=True, slots=True)
class Sound:
    """Where the training speech lies."""

    corpora: tuple[Path, ...]
    shares: tuple[float, ...]  # how often each corpus is drawn
    rooms: Path


class SpeechBatches:
    """Draws utterances, wears them and makes mels; one generator a step, so that a run can be resumed
    anywhere.
    """

    def __init__(
        self, sound: Sound, tokens: Callable[[str], list[int]], names: frozenset[str], seed: int
    ) -> None:
        """``tokens`` gives the reader's rows for words."""
        self.tokens, self.names, self.seed = tokens, names, seed
        self.front_end = FrontEnd()
        self.shares = np.asarray(sound.shares) / sum(sound.shares)
        self.corpora = []
        for folder in sound.corpora:
            records = [record for record in read_corpus(folder) if record.length < MAX_UTTERANCE_S * 24_000]
            records.sort(key=lambda record: record.length)
            self.corpora.append((CorpusAudio(folder), records))
        rng = np.random.default_rng(seed)
        babble = [np.asarray(self.pcm(rng)[1] / 32_768, np.float32) for _ in range(60)]
        self.wear = Wear(sound.rooms, babble, seed)

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

    def batch(self, step: int, seconds: float) -> Batch:
        """The batch of a step, about so many seconds of sound, utterances of like length."""
        rng = np.random.default_rng((self.seed, step))
        self.wear.strength = strength(step)
        rank = float(rng.random())
        heard: list[Audio] = []
        clean: list[Audio] = []
        targets: list[list[int]] = []
        lengths: list[int] = []
        ends: list[list[tuple[int, int]] | None] = []
        while not heard or (len(heard) + 1) * max(lengths) <= seconds * 24_000:
            if rng.random() < 0.04:
                length = max(lengths) if lengths else 48_000
                heard.append(self.wear.nothing(length, rng))
                clean.append(np.zeros(length, np.float32))
                targets.append([])
                ends.append([])
            else:
                record, pcm = self.pcm(rng, rank)
                worn = self.wear(pcm, rng)
                heard.append(worn.heard)
                clean.append(worn.clean)
                targets.append(self.tokens(spoken_form(record.text, self.names)))
                ends.append(self.timing(record, worn))
            lengths.append(len(heard[-1]))
        blocks = -(-max(lengths) // ENCODER_BLOCK_LENGTH)
        mel = self.colour(self.power(heard, blocks), rng)
        reference = torch.full((len(heard),), REFERENCE_FLOOR)
        teacher = torch.zeros(0)
        if step % TEACHER_EVERY == 0:
            samples, _ = self.front_end.resampler(
                padded(clean, blocks), self.front_end.resampler.initial_state(len(clean))
            )
            teacher = teacher_mel(self.front_end, samples)[..., : FRAMES_PER_BLOCK * blocks]
        frames = torch.tensor([length // CODEC_HOP_LENGTH + 1 for length in lengths]).clamp(max=2 * blocks)
        return Batch(normalise(mel, reference)[0], teacher, frames, targets, place(ends, 2 * blocks))

    def timing(self, record: Utterance, worn: Worn) -> list[tuple[int, int]] | None:
        """Each row of an utterance with the sample at which it has been said; nothing where the maker does
        not know.
        """
        words = spoken_form(record.text, self.names).split()
        if len(words) != len(record.word_ends):
            return None
        timed, before = [], float(worn.start)
        for word, end in zip(words, record.word_ends, strict=True):
            rows, after = self.tokens(word), worn.start + end / worn.factor
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
        """Bend each microphone's response, cut some to the telephone band, hide a few stretches of time and
        pitch.
        """
        batch, bands, frames = power.shape
        axis = torch.linspace(0, torch.pi, bands)
        power = power.clone()
        for row in power:
            if rng.random() < 0.5 * self.wear.strength:
                curve = sum(
                    rng.normal(0, 0.25) * torch.cos(order * axis + rng.uniform(0, 6)) for order in range(1, 5)
                )
                row += torch.as_tensor(curve)[:, None].float()
            if rng.random() < 0.1 * self.wear.strength:
                row[int(rng.integers(62, 68)) :] -= 5
                row[: int(rng.integers(2, 9))] -= 3
            for _ in range(int(rng.integers(0, 1 + round(2 * self.wear.strength)))):
                start, width = int(rng.integers(frames)), int(rng.integers(1, 12))
                row[:, start : start + width] = row.min()
            if rng.random() < 0.4 * self.wear.strength:
                start, width = int(rng.integers(bands)), int(rng.integers(1, 10))
                row[start : start + width] = row.min()
        return power


def ctc(logits: Tensor, batch: Batch, index: Tensor) -> Tensor:
    """CTC loss per codec frame; ``index`` maps rows to columns of the logits."""
    lengths = torch.tensor([len(target) for target in batch.targets])
    flat = index[torch.tensor([row for target in batch.targets for row in target], dtype=torch.long)]
    scores = logits.float().log_softmax(dim=-1)
    loss = nn.functional.ctc_loss(
        scores.transpose(0, 1), flat, batch.frames, lengths, reduction="none", zero_infinity=True
    )
    return loss.sum() / batch.frames.sum()


def placed_loss(logits: Tensor, batch: Batch, index: Tensor) -> Tensor:
    """Cross-entropy of the frames whose word is known from the making: a start for CTC, which else finds it
    slowly.
    """
    known = (batch.placed > -2) & (torch.arange(batch.placed.shape[1])[None] < batch.frames[:, None])
    if not known.any():
        return logits.new_zeros(())
    rows = batch.placed[known]
    target = torch.where(rows >= 0, index[rows.clamp(min=0)], 0)
    loss = nn.functional.cross_entropy(logits[known].float(), target, reduction="none")
    weight = torch.where(target > 0, 1.0, 0.3)
    return (loss * weight).sum() / weight.sum()


def rows_to_keep(batch: Batch, rows: int, rng: np.random.Generator, pace: "Pace") -> tuple[Tensor, Tensor]:
    """Rows that take part in a step: those said, the frequent ones (low token numbers), some others; and
    their columns.
    """
    others = rng.integers(rows, size=pace.other_rows).tolist()
    said = {row for target in batch.targets for row in target}
    keep = torch.tensor(sorted(said | set(range(min(rows, pace.frequent_rows))) | set(others)))
    index = torch.zeros(rows, dtype=torch.long)
    index[keep] = torch.arange(1, len(keep) + 1)
    return keep, index


def greedy(logits: Tensor, frames: Tensor) -> list[list[int]]:
    """Best token of each frame, repeats merged and blanks dropped: rows from 0."""
    found = []
    for row, length in zip(logits.argmax(dim=-1), frames.tolist(), strict=True):
        best = torch.unique_consecutive(row[:length])
        found.append([int(index) - 1 for index in best if index > 0])
    return found


def edits(reference: list[str], heard: list[str]) -> int:
    """Word edits between two utterances."""
    row = list(range(len(heard) + 1))
    for index, word in enumerate(reference, 1):
        before, row[0] = row[0], index
        for column, other in enumerate(heard, 1):
            change = before + (word != other)
            before = row[column]
            row[column] = min(before + 1, row[column - 1] + 1, change)
    return row[-1]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to learn."""

    head: float = 1e-3
    encoder: float = 4e-4
    warm_up: int = 150
    distil: float = 1.0
    batch_s: float = 40.0
    frequent_rows: int = 1_200
    other_rows: int = 800
    placed_steps: int = 1_500  # the known places of the words fade out over so many steps


def parameter_groups(encoder: Encoder, reader: TokenReader, pace: Pace) -> list[dict[str, object]]:
    """The started part learns slower than the new one; norms, biases and tables do not decay."""
    started = (encoder.conv1, encoder.conv2, encoder.stack, encoder.norm)
    slow = {id(parameter) for part in started for parameter in part.parameters()} | {id(encoder.position)}
    groups: list[dict[str, object]] = []
    for rate, chosen in ((pace.encoder, True), (pace.head, False)):
        parameters = [
            p for module in (encoder, reader) for p in module.parameters() if (id(p) in slow) == chosen
        ]
        groups.append(
            {"params": [p for p in parameters if p.dim() > 1], "lr": rate, "base": rate, "weight_decay": 0.01}
        )
        groups.append(
            {"params": [p for p in parameters if p.dim() <= 1], "lr": rate, "base": rate, "weight_decay": 0.0}
        )
    return groups


def train_steps(
    models: tuple[Encoder, TokenReader, WhisperTeacher],
    optimizer: torch.optim.Optimizer,
    batches: SpeechBatches,
    steps: range,
    pace: Pace,
) -> Iterator[tuple[int, float, float]]:
    """Learn over a range of steps; yields the step, its CTC loss per frame and its distance
    from the teacher.
    """
    encoder, reader, teacher = models
    for step in steps:
        batch = batches.batch(step, pace.batch_s)
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1.0, (step + 1) / pace.warm_up) * decay(step, steps.stop)
        with torch.autocast("cpu", torch.bfloat16):
            hidden, projected, _ = encoder(batch.mel, encoder.initial_state(len(batch.mel)))
            keep, index = rows_to_keep(batch, len(reader.rows), np.random.default_rng((7, step)), pace)
            logits = reader(projected, keep)
            distance = hidden.new_zeros(())
            if len(batch.teacher_mel):
                with torch.no_grad():
                    target = teacher(batch.teacher_mel).float()
                error = (hidden.float() - target).square().mean() / target.var()
                distance = error
        words = ctc(logits, batch, index)
        loss = words + pace.distil * distance
        fading = 1 - step / pace.placed_steps
        if fading > 0:
            loss = loss + fading * placed_loss(logits, batch, index)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        optimizer.step()
        yield step, float(words.detach()), float(distance.detach())


def decay(step: int, stop: int, part: float = 0.3, least: float = 0.05) -> float:
    """Constant, then over the last ``part`` of a run linearly down."""
    left = (stop - step) / (part * stop)
    return max(least, min(1.0, left))


def log_line(path: Path, **fields: float) -> None:
    """Append one line to a run's log."""
    with path.open("a") as file:
        file.write(json.dumps({name: round(value, 5) for name, value in fields.items()}) + "\n")
