"""Trains the streaming encoder: distilled from Whisper's while it learns to write words into the model's
space.

The loss is CTC whose output matrix is the language model's own token embedding, frozen, rows normalised, so
that a projected frame lies where the model looks for the token that is heard. Only rows that occur in
the training texts take part. Source of the loss: Graves et al. 2006 (CTC).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from assistant.training.speech_batches import Batch, SpeechBatches
from assistant.training.whisper_start import WhisperTeacher
from audiocodec.encoder import Encoder
from audiocodec.reader import TokenReader


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to learn."""

    head: float = 1e-3
    encoder: float = 4e-4
    warm_up: int = 150
    distil: float = 1.0
    batch_s: float = 40.0
    steps: int = 12_000
    frequent_rows: int = 1_200
    other_rows: int = 800
    placed_steps: int = 1_500  # the known places of the words fade out over so many steps


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


def rows_to_keep(batch: Batch, rows: int, rng: np.random.Generator, pace: Pace) -> tuple[Tensor, Tensor]:
    """Rows that take part in a step: those said, the frequent ones (low token numbers), some others; and
    their columns.
    """
    others = rng.integers(rows, size=pace.other_rows).tolist()
    said = {row for target in batch.targets for row in target}
    keep = torch.tensor(sorted(said | set(range(min(rows, pace.frequent_rows))) | set(others)))
    index = torch.zeros(rows, dtype=torch.long)
    index[keep] = torch.arange(1, len(keep) + 1)
    return keep, index


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


class EncoderRecipe:
    """Trainable: one step is one batch of worn speech."""

    def __init__(
        self,
        encoder: Encoder,
        reader: TokenReader,
        teacher: WhisperTeacher,
        batches: SpeechBatches,
        pace: Pace,
    ) -> None:
        self.encoder, self.reader, self.teacher = encoder, reader, teacher
        self.batches, self.pace = batches, pace
        self.optimizer = torch.optim.AdamW(parameter_groups(encoder, reader, pace), betas=(0.9, 0.98))

    def modules(self) -> dict[str, nn.Module]:
        """What is learned."""
        return {"encoder": self.encoder, "reader": self.reader}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Its optimiser."""
        return {"encoder": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch; gives the CTC loss per frame and, where it is measured, the
        teacher's distance.
        """
        pace, batch = self.pace, self.batches.batch(number, self.pace.batch_s)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * min(1.0, (number + 1) / pace.warm_up) * decay(number, pace.steps)
        keep, index = rows_to_keep(batch, len(self.reader.rows), np.random.default_rng((7, number)), pace)
        with torch.autocast(batch.mel.device.type, torch.bfloat16):
            hidden, projected, _ = self.encoder(batch.mel, self.encoder.initial_state(len(batch.mel)))
            logits = self.reader(projected, keep)
        words = ctc(logits, batch, index)
        loss, figures = words, {"ctc": float(words.detach())}
        if len(batch.teacher_mel):
            distance = self.distance(hidden, batch)
            loss = loss + pace.distil * distance
            figures["distance"] = float(distance.detach())
        fading = 1 - number / pace.placed_steps
        if fading > 0:
            loss = loss + fading * placed_loss(logits, batch, index)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 1.0)
        self.optimizer.step()
        return figures

    def distance(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Squared distance from the teacher's frames of the clean sound, as a part of their variance."""
        with torch.no_grad(), torch.autocast(hidden.device.type, torch.bfloat16):
            target = self.teacher(batch.teacher_mel).float()
        error: Tensor = (hidden.float() - target).square().mean() / target.var()
        return error


def decay(step: int, stop: int, part: float = 0.3, least: float = 0.05) -> float:
    """Constant, then over the last ``part`` of a run linearly down."""
    left = (stop - step) / (part * stop)
    return max(least, min(1.0, left))
