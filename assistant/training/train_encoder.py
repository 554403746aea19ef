"""Trains the encoder to write words into the model's space.

The loss is CTC whose output matrix is the language model's own token embedding, frozen, rows normalised, so
that a projected frame lies where the model looks for the token that is heard. Only rows that occur in
the training texts take part. The matrices inside layers learn by Muon, everything else by AdamW.
Sources: Graves et al. 2006 (CTC); Jordan et al. 2024 (Muon); Liu et al. 2025, arXiv:2502.16982 (Muon's rate
made AdamW's).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from assistant.training.precision import mixed
from assistant.training.speech_batches import Batch, SpeechBatches
from audiocodec.encoder import Encoder
from audiocodec.numbers import ENCODER_BLOCK_FRAMES
from audiocodec.reader import TokenReader

STRIDES, STRIDE_SHARES = (8, 4), (0.9, 0.1)  # blocks by which the window is moved in a step
LATE, LATE_SHARES = 0.7, (0.5, 0.5)  # from this part of a run on: as it is moved live, nearly; at more cost


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to learn."""

    head: float = 8e-4
    encoder: float = 1e-4
    warm_up: int = 100
    falling: float = 0.7  # last part of the run in which the rate falls
    batch_s: float = 40.0
    steps: int = 4_000
    frequent_rows: int = 1_200
    other_rows: int = 4_000
    frozen_layers: int = 0  # of the encoder, the lowest, with the convolutions
    placed_steps: int = 1_000  # the known places of the words fade out over so many steps


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


def inner_matrices(encoder: Encoder) -> set[int]:
    """Parameters, by identity, that are matrices inside a layer."""
    named = [*encoder.layers.named_parameters(), *encoder.projector.named_parameters()]
    return {id(value) for name, value in named if name.endswith(".weight") and value.dim() == 2}


def parameter_groups(
    encoder: Encoder, reader: TokenReader, pace: Pace, inner: bool
) -> list[dict[str, object]]:
    """What an optimiser learns: the matrices inside layers, or all else. The started part learns slower than
    the new one; norms, biases and tables do not decay.
    """
    started = (encoder.conv1, encoder.conv2, encoder.layers, encoder.norm)
    slow = {id(parameter) for part in started for parameter in part.parameters()} | {id(encoder.positions)}
    matrices = inner_matrices(encoder)
    groups: list[dict[str, object]] = []
    for rate, chosen in ((pace.encoder, True), (pace.head, False)):
        parameters = [
            p
            for module in (encoder, reader)
            for p in module.parameters()
            if p.requires_grad and (id(p) in slow) == chosen and (id(p) in matrices) == inner
        ]
        for decay, some in ((0.01, [p for p in parameters if p.dim() > 1]),
                            (0.0, [p for p in parameters if p.dim() <= 1])):  # fmt: skip
            if some:
                groups.append({"params": some, "lr": rate, "base": rate, "weight_decay": decay})
    return groups


class EncoderRecipe:
    """Trainable: one step is one batch of worn speech."""

    def __init__(
        self,
        encoder: Encoder,
        reader: TokenReader,
        batches: SpeechBatches,
        pace: Pace,
    ) -> None:
        self.encoder, self.reader = encoder, reader
        self.batches, self.pace = batches, pace
        if pace.frozen_layers:
            encoder.positions.requires_grad_(False)
            for module in (encoder.conv1, encoder.conv2, *list(encoder.layers)[: pace.frozen_layers]):
                module.requires_grad_(False)
        self.inner = torch.optim.Muon(
            parameter_groups(encoder, reader, pace, inner=True), adjust_lr_fn="match_rms_adamw"
        )
        self.others = torch.optim.AdamW(
            parameter_groups(encoder, reader, pace, inner=False), betas=(0.9, 0.98), fused=True
        )

    def modules(self) -> dict[str, nn.Module]:
        """What is learned."""
        return {"encoder": self.encoder, "reader": self.reader}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Its optimisers."""
        return {"inner": self.inner, "others": self.others}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch; gives the CTC loss per frame."""
        pace, rng = self.pace, np.random.default_rng((7, number))
        shares = STRIDE_SHARES if number < LATE * pace.steps else LATE_SHARES
        stride, ahead = int(rng.choice(STRIDES, p=shares)), self.encoder.config.ahead_blocks
        batch = self.batches.batch(number, pace.batch_s, ahead, stride)
        rate = min(1.0, (number + 1) / pace.warm_up) * decay(number, pace.steps, pace.falling)
        groups = [group for optimizer in self.optimizers().values() for group in optimizer.param_groups]
        for group in groups:
            group["lr"] = group["base"] * rate
        keep, index = rows_to_keep(batch, len(self.reader), rng, pace)
        delay, frames = ahead * ENCODER_BLOCK_FRAMES, batch.placed.shape[1]
        with mixed(batch.mel.device.type):
            state = self.encoder.initial_state(len(batch.mel))
            projected = self.encoder(batch.mel, state, stride)[1][:, delay : delay + frames]
            logits = self.reader(projected.float(), keep)
        words = ctc(logits, batch, index)
        loss, fading = words, 1 - number / pace.placed_steps
        if fading > 0:
            loss = loss + 0.3 * fading * placed_loss(logits, batch, index)
        for optimizer in self.optimizers().values():
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        for optimizer in self.optimizers().values():
            optimizer.step()
        return {"ctc": float(words.detach())}


def decay(step: int, stop: int, part: float, least: float = 0.05) -> float:
    """Constant, then over the last ``part`` of a run linearly down."""
    left = (stop - step) / (part * stop)
    return max(least, min(1.0, left))
