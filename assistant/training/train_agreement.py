"""Trains the judge of bursts on short phrases as the shipped ear hears them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from assistant.model.agreement import Agreement
from assistant.model.hearing import Hearing
from assistant.training.augment import Audio, Wear
from assistant.training.bursts import AGREE
from assistant.training.runs import seed_step
from assistant.training.speech_data import CorpusAudio, Utterance, trimmed
from assistant.training.train_manner import partly_seen
from audiocodec.numbers import ENCODER_BLOCK_FRAMES, ENCODER_BLOCK_LENGTH, SAMPLE_RATE

T = TypeVar("T")

BATCH, RATE = 64, 2e-3
NOISES = 0.1  # part of the sounds that hold no voice at all; they do not want the floor
NOISE_S = (0.3, 1.2)
HEARD_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Bursts:
    """Bursts as they were heard, in memory."""

    codes: Tensor  # (N, T, K) int64, zeros behind a burst's end
    frames: Tensor  # (N,)
    agrees: Tensor  # (N,) 1.0 or 0.0

    @classmethod
    def of(cls, heard: list[tuple[Tensor, bool]]) -> "Bursts":
        """Lay codes (frames, K) of bursts out side by side."""
        codes = nn.utils.rnn.pad_sequence([one for one, _ in heard], batch_first=True)
        frames = torch.tensor([len(one) for one, _ in heard])
        return cls(codes, frames, torch.tensor([float(agrees) for _, agrees in heard]))

    @classmethod
    def joined(cls, parts: list["Bursts"]) -> "Bursts":
        """Several sets as one."""
        longest = max(part.codes.shape[1] for part in parts)
        codes = [nn.functional.pad(p.codes, (0, 0, 0, longest - p.codes.shape[1])) for p in parts]
        return cls(*(torch.cat(of) for of in (codes, [p.frames for p in parts], [p.agrees for p in parts])))


def worn_bursts(
    audio: CorpusAudio, records: list[Utterance], wear: Wear, seed: int
) -> Iterator[tuple[Audio, bool]]:
    """Every burst as a microphone gives it, and whether it only agrees; now and then a noise between them."""
    rng = np.random.default_rng((13, seed))
    for record in records:
        yield wear(trimmed(audio(record))[0], rng).heard, record.kind == AGREE
        if rng.random() < NOISES:
            yield wear.nothing(int(rng.uniform(*NOISE_S) * SAMPLE_RATE), rng), True


@torch.inference_mode()
def hear_bursts(hearing: Hearing, worn: Iterable[tuple[Audio, bool]]) -> Iterator[tuple[Tensor, bool]]:
    """Codes (frames, K) of every burst."""
    for some in batched(worn, HEARD_AT_ONCE):
        sounds = [torch.from_numpy(sound) for sound, _ in some]
        raw = hearing.listener.hear_all(nn.utils.rnn.pad_sequence(sounds, batch_first=True))
        for codes, sound, (_, agrees) in zip(hearing.listener.name(raw).codes, sounds, some, strict=True):
            blocks = -(-len(sound) // ENCODER_BLOCK_LENGTH)
            yield codes[: blocks * ENCODER_BLOCK_FRAMES].clone(), agrees


def batched(items: Iterable[T], count: int) -> Iterator[list[T]]:
    """Lists of so many items, the last one shorter."""
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


class AgreementRecipe:
    """Trainable: one step is one batch of bursts."""

    def __init__(self, hearing: Hearing, bursts: Bursts, steps: int) -> None:
        self.hearing, self.bursts, self.steps = hearing, bursts, steps
        self.net: Agreement = hearing.agreement.train()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), RATE, weight_decay=0.1)

    def modules(self) -> dict[str, nn.Module]:
        """The judge."""
        return {"agreement": self.net}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Its optimiser."""
        return {"agreement": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch."""
        generator = torch.Generator().manual_seed(seed_step(7, number).getrandbits(32))
        chosen = torch.randint(len(self.bursts.frames), (BATCH,), generator=generator)
        self.optimizer.param_groups[0]["lr"] = RATE * max(0.03, 1 - number / self.steps)
        codes, frames = self.bursts.codes[chosen], self.bursts.frames[chosen]
        with torch.no_grad():
            heard = self.hearing.listener.decode(codes)
            blank = self.hearing.listener.read(codes).blank
        semantic, prosody = partly_seen(heard.semantic, heard.prosody)
        logits = self.net(semantic, prosody, blank, frames)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, self.bursts.agrees[chosen])
        right = ((logits > 0) == (self.bursts.agrees[chosen] > 0)).float().mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        return {"loss": float(loss.detach()), "right": float(right)}
