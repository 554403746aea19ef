"""Trains the manner net on frames that the encoder heard: traits, speech or not, finished or not.

At each frame of a voice it also says how soon that will end, where it does so by itself. Nobody asks for
that later, but an end is judged once in an utterance and this everywhere.
Source of the idea: Ekstedt and Skantze 2022, Voice Activity Projection, arXiv 2205.09812.
"""

import copy
from dataclasses import replace

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from assistant.model.manner import TRAITS, Manner
from assistant.training.features import FeatureSet, HeardUtterance, evenly
from assistant.training.runs import follow, seed_step
from audiocodec.listener import Listener, RawFrames
from audiocodec.prosody import STEPS_PER_FRAME

BATCH = 48
DROPPED, UNSEEN = 0.5, 0.15  # of what codes stand for and of the sound; of the frames, all of it
BLURRED = 0.05  # deviation of noise on the prosody, where there is any
MOVED_PART, MOVED = 0.5, 0.25  # of the utterances: moved in pitch and loudness by so much (octaves, decades)
AHEAD = (1, 3, 6, 12, 25)  # codec frames within each of which a voice may end
AHEAD_WEIGHT = 0.5
ROWS_AT_ONCE = 2_048  # frames that are named
FIRST_JUDGED = -1  # frame behind the voice from which an end is judged; the encoder has heard more by then


class MannerRecipe:
    """Trainable: one step is one batch of utterances."""

    def __init__(self, manner: Manner, features: FeatureSet, blanks: Tensor, steps: int) -> None:
        """``features`` hold what the codes stand for; ``blanks`` (N,) each frame's blank probability."""
        self.manner, self.features, self.blanks, self.steps = manner, features, blanks, steps
        self.average = copy.deepcopy(manner)  # judges what it does not know better than the last step does
        self.ahead = nn.Linear(manner.config.hidden, len(AHEAD))
        nn.init.zeros_(self.ahead.weight)
        nn.init.zeros_(self.ahead.bias)
        lengths = torch.tensor([one.speech_end - one.speech_start for one in features.records])
        weights = evenly(lengths, torch.tensor([float(one.finished) for one in features.records]))
        self.chances = (weights.double() / weights.double().sum()).numpy()
        learned = [*manner.parameters(), *self.ahead.parameters()]
        self.optimizer = torch.optim.AdamW(learned, 2e-3, weight_decay=0.1)

    def modules(self) -> dict[str, nn.Module]:
        """The net and its running average, and what tells from it how soon a voice ends."""
        return {"manner": self.manner, "average": self.average, "ahead": self.ahead}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Its optimiser."""
        return {"manner": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch."""
        rng = np.random.default_rng((5, number))
        seed_step(5, number)  # what is dropped is torch's chance
        drawn = rng.choice(len(self.chances), BATCH, p=self.chances)
        chosen = [self.features.records[int(index)] for index in drawn]
        for group in self.optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (number + 1) / 50) * max(0.03, 1 - number / self.steps)
        moves = np.where(rng.random(BATCH) < MOVED_PART, rng.normal(0, MOVED, (2, BATCH)), 0.0)
        nets, moved_by = (self.manner, self.ahead), torch.from_numpy(moves)
        losses = manner_losses(*nets, self.features, self.blanks, chosen, moved_by)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(self.manner.parameters(), 1.0)
        self.optimizer.step()
        follow(self.average, self.manner, number)
        return {name: float(loss.detach()) for name, loss in losses.items()}


def moved(prosody: Tensor, moves: Tensor) -> Tensor:
    """Prosody (B, T, PROSODY_WIDTH) as a higher or lower, louder or softer voice would have it.

    ``moves`` (2, B): octaves and decades; what is unvoiced stays so.
    """
    octaves, voicing, level = torch.split(prosody, STEPS_PER_FRAME, dim=-1)
    by_octaves, by_level = moves.to(prosody.dtype)[..., None, None]
    octaves = torch.where(octaves != 0, octaves + by_octaves, octaves)
    return torch.cat([octaves, voicing, level + by_level], dim=-1)


def partly_seen(semantic: Tensor, prosody: Tensor) -> tuple[Tensor, Tensor]:
    """Frames (B, T, …) with much left out and the prosody blurred, so that they are not known by heart."""
    return left_out(semantic), prosody + BLURRED * torch.randn_like(prosody) * (prosody != 0)


def left_out(frames: Tensor) -> Tensor:
    """Frames (B, T, C) of which much is dropped, of some all."""
    kept = torch.rand(*frames.shape[:2], 1) > UNSEEN
    return nn.functional.dropout(frames, DROPPED) * kept


def manner_losses(
    manner: Manner,
    ahead: nn.Linear,
    features: FeatureSet,
    blanks: Tensor,
    chosen: list[HeardUtterance],
    moves: Tensor,
) -> dict[str, Tensor]:
    """Losses of a batch: the end of turn at each silent frame behind the voice, speech at each frame, how
    soon a finished voice ends at each of its own, traits at the last. Some voices are ``moved`` (0 for the
    others), so that ends are not told by how high a voice is; how high and how loud it is, is not learned
    from these.
    """
    length = max(record.frames for record in chosen)
    rows = [features.rows(record) for record in chosen]
    semantic, prosody, acoustic, blank = (
        nn.utils.rnn.pad_sequence([frames[row].float() for row in rows], batch_first=True)
        for frames in (features.semantic, features.prosody, features.acoustic, blanks)
    )
    semantic, prosody = partly_seen(semantic, moved(prosody, moves))
    output, _ = manner(semantic, prosody, blank, left_out(acoustic), manner.initial_state(len(chosen)))
    frame = torch.arange(length)[None]
    start, end, frames = (
        torch.tensor([getattr(record, name) for record in chosen])[:, None]
        for name in ("speech_start", "speech_end", "frames")
    )
    real, speech = frame < frames, (frame >= start) & (frame < end)
    judged = real & (frame >= end + FIRST_JUDGED)
    finished = torch.tensor([float(record.finished) for record in chosen])[:, None].expand_as(judged)
    ending, soon = speech & (finished > 0), (end - frame)[..., None] <= torch.tensor(AHEAD)
    binary = nn.functional.binary_cross_entropy_with_logits
    losses = {
        "speech": binary(output.speech[real], speech[real].float()),
        "finished": binary(output.finished[judged], finished[judged]),
    }
    if ending.any():
        losses["ahead"] = AHEAD_WEIGHT * binary(ahead(output.hidden[ending]), soon[ending].float())
    last, still = (frames - 1).squeeze(1), (moves == 0).all(dim=0).tolist()
    for name, kinds in TRAITS.items():
        usable = still if name in {"pitch", "loudness"} else [True] * len(chosen)
        known = [index for index, record in enumerate(chosen) if usable[index] and name in record.traits]
        if known:
            logits = output.traits[name][known, last[known]]
            target = torch.tensor([kinds.index(chosen[index].traits[name]) for index in known])
            losses[name] = nn.functional.cross_entropy(logits, target)
    return losses


@torch.inference_mode()
def through_codebooks(listener: Listener, features: FeatureSet) -> tuple[FeatureSet, Tensor]:
    """What the codes of a set's frames stand for, and each frame's blank probability."""
    semantic, prosody, codes = [], [], []
    heard = (features.semantic, features.prosody, features.acoustic)
    pieces = torch.split(torch.arange(len(features.semantic)), ROWS_AT_ONCE)
    for rows in track(pieces, "frames named", console=Console(stderr=True)):
        frames = listener.name(RawFrames(*(part[rows].float()[None] for part in heard)))
        semantic.append(frames.semantic[0].half())
        prosody.append(frames.prosody[0])
        codes.append(frames.codes[0].int())
    named = torch.cat(codes)
    coded = replace(features, semantic=torch.cat(semantic), prosody=torch.cat(prosody), codes=named)
    return coded, listener.read(named.long()).blank
