"""Trains the turn head alone: the transformer stays as it is, and reads each beginning once.

What it makes of whole and of broken off sentences at the marker behind them is kept; on that the head learns
in a minute. Joint training sees far too few of them to teach it beside everything else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat, Message
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, Hearing
from assistant.model.turn_head import TurnHead
from assistant.training.features import evenly
from assistant.training.heard_runs import Runs, embeddings_of
from assistant.training.omni_data import SYSTEMS
from assistant.training.runs import seed_step
from assistant.training.texts import Line, broken_off

READ_AT_ONCE = 32  # sentences, of similar length
BATCH = 256
RATE, JOIN_RATE = 1e-3, 1e-2
DROPPED = 0.2  # of the stream, while the head learns


@dataclass(frozen=True, slots=True)
class Streams:
    """What the transformer makes of sentences at the marker behind each, the shortest first."""

    stream: Tensor  # (N, D) after the last layer
    finished: Tensor  # (N,) 1 or 0
    manner: Tensor  # (N,) the manner's logit of it; NaN where only the words are known

    @classmethod
    def joined(cls, parts: list["Streams"]) -> "Streams":
        """Put parts together."""
        return cls(*(torch.cat([getattr(one, name) for one in parts]) for name in cls.__slots__))

    def rows(self, chosen: Tensor) -> "Streams":
        """Some of all."""
        return Streams(self.stream[chosen], self.finished[chosen], self.manner[chosen])


def sentences(lines: list[Line], count: int, rng: Random) -> Iterator[tuple[str, bool]]:
    """Draw asks and sentences with pauses, each second one broken off; tells whether it is whole."""
    asks = [line for line in lines if line.kind == "ask"]
    cuts = [line for line in lines if line.kind == "cutoff"]
    for _ in range(count):
        line = rng.choice(asks if rng.random() < 0.5 or not cuts else cuts)
        beginning = broken_off(line, rng) if rng.random() < 0.5 else None
        yield (line.text, True) if beginning is None else (beginning, False)


@torch.inference_mode()
def read_sounds(
    backbone: Backbone, hearing: Hearing, chat: ChatFormat, sounds: list[Runs]
) -> Iterator[Streams]:
    """Let the transformer read sounds, each as the first of a conversation; yields them batch by batch."""
    rng, layers = Random(4), backbone.config.layers
    order = sorted(range(len(sounds)), key=lambda index: len(sounds[index].words))
    device, dtype = backbone.embedding.weight.device, backbone.embedding.weight.dtype
    for start in range(0, len(order), READ_AT_ONCE):
        runs = [sounds[index] for index in order[start : start + READ_AT_ONCE]]
        system = rng.choice(SYSTEMS)
        before = [*(chat.turn(Message("system", system)) if system else ()), *chat.open("user"), AUDIO_OPEN]
        rows = [
            torch.cat(
                [
                    backbone.embedding(torch.tensor(before, device=device)),
                    embeddings_of(hearing, one),
                    backbone.embedding(torch.tensor([AUDIO_CLOSE], device=device)),
                ]
            )
            for one in runs
        ]
        keep = nn.utils.rnn.pad_sequence(
            [torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True
        )
        inputs = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(dtype)  # what is heard is float32
        states = backbone(inputs, keep=keep, layer=layers)
        assert states.layer is not None
        last = torch.tensor([len(row) - 1 for row in rows])
        yield Streams(
            states.layer[torch.arange(len(rows)), last].float(),
            torch.tensor([float(one.finished) for one in runs]),
            torch.tensor([torch.nan if one.manner is None else one.manner for one in runs]),
        )


class TurnRecipe:
    """Trainable: one step is one batch of sentences."""

    def __init__(self, head: TurnHead, streams: Streams, steps: int) -> None:
        self.head, self.streams, self.steps = head.train(), streams, steps
        length = torch.arange(len(streams.finished))  # they were read in the order of their length
        self.chances = evenly(length, streams.finished)
        words = [*head.enter.parameters(), *head.leave.parameters()]
        groups = [{"params": words, "weight_decay": 0.05}, {"params": [head.weights], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, RATE)

    def modules(self) -> dict[str, nn.Module]:
        """The head."""
        return {"turn_head": self.head}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Its optimiser."""
        return {"turn_head": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch."""
        generator = torch.Generator().manual_seed(seed_step(6, number).getrandbits(32))
        chosen = torch.multinomial(self.chances, BATCH, replacement=True, generator=generator)
        pace = max(0.03, 1 - number / self.steps)
        for group, rate in zip(self.optimizer.param_groups, (RATE, JOIN_RATE), strict=True):
            group["lr"] = rate * pace
        words, both = turn_losses(self.head, self.streams.rows(chosen))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(words + both)
        self.optimizer.step()
        return {"words": float(words.detach()), "joined": float(both.detach())}


def turn_losses(head: TurnHead, streams: Streams) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the words' judgement, and of both together where the sound was real."""
    binary = nn.functional.binary_cross_entropy_with_logits
    words = binary(head.read(nn.functional.dropout(streams.stream, DROPPED)), streams.finished)
    real = ~streams.manner.isnan()
    if not real.any():
        return words, words.new_zeros(())
    with torch.no_grad():  # the words are judged on their own
        judged = head.read(streams.stream[real])
    return words, binary(head.join(judged, streams.manner[real]), streams.finished[real])
