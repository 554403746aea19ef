"""Trains the turn head alone: the transformer stays as it is, and reads each sentence once.

What it makes of a sentence at its last word is kept, and at a few words before: there more was to come. On
that the head learns in a minute. Joint training sees far too few of them to teach it beside everything else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat, Message
from assistant.model.hearing import AUDIO_OPEN, Hearing
from assistant.model.turn_head import TurnHead
from assistant.training.features import evenly
from assistant.training.heard_runs import Runs, words_of
from assistant.training.omni_data import SYSTEMS
from assistant.training.runs import seed_step
from assistant.training.texts import Line

READ_AT_ONCE = 32  # sentences, of similar length
INNER = 4  # words of each sentence behind which more comes
BATCH = 256
RATE, JOIN_RATE = 1e-3, 1e-2
DROPPED = 0.3  # of the stream, while the head learns


@dataclass(frozen=True, slots=True)
class Streams:
    """What the transformer makes of sentences so far."""

    stream: Tensor  # (N, D) float16, after the last layer, at the newest word
    words: Tensor  # (N,) how many there are
    finished: Tensor  # (N,) 1 where the speaker has, else 0
    manner: Tensor  # (N,) the manner's logit of it; NaN where only the words are known

    @classmethod
    def joined(cls, parts: list["Streams"]) -> "Streams":
        """Put parts together."""
        return cls(*(torch.cat([getattr(one, name) for one in parts]) for name in cls.__slots__))

    def rows(self, chosen: Tensor) -> "Streams":
        """Some of all."""
        return Streams(*(getattr(self, name)[chosen] for name in self.__slots__))


def sentences(said: list[Line], other: list[Line], count: int, rng: Random) -> Iterator[str]:
    """Draw whole sentences: asks, those with pauses, and as many ``other`` ones, of other texts."""
    asks = [line for line in said if line.kind == "ask"]
    cuts = [line for line in said if line.kind == "cutoff"]
    for _ in range(count):
        yield rng.choice(rng.choice([pool for pool in (asks, cuts) if pool])).text
        if other:
            yield rng.choice(other).text


@torch.inference_mode()
def read_sounds(
    backbone: Backbone, hearing: Hearing, chat: ChatFormat, sounds: list[Runs]
) -> Iterator[Streams]:
    """Let the transformer read sounds with words, each as the first of a conversation; yields them batch by
    batch, the shortest first.
    """
    rng, layers = Random(4), backbone.config.layers
    order = sorted((one for one in sounds if len(one.words)), key=lambda one: len(one.words))
    device, dtype = backbone.embedding.weight.device, backbone.embedding.weight.dtype
    for start in range(0, len(order), READ_AT_ONCE):
        runs = order[start : start + READ_AT_ONCE]
        system = rng.choice(SYSTEMS)
        before = [*(chat.turn(Message("system", system)) if system else ()), *chat.open("user"), AUDIO_OPEN]
        opening = backbone.embedding(torch.tensor(before, device=device))
        rows = [torch.cat([opening, words_of(hearing, one)]) for one in runs]
        keep = nn.utils.rnn.pad_sequence(
            [torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True
        )
        inputs = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(dtype)  # what is heard is float32
        stream = backbone(inputs, keep=keep, layer=layers).layer
        assert stream is not None
        yield Streams.joined(
            [at_words(row[len(before) :], one, rng) for row, one in zip(stream, runs, strict=True)]
        )


def at_words(stream: Tensor, runs: Runs, rng: Random) -> Streams:
    """The stream (T, D) of one sound's words at some of them and at the last."""
    count = len(runs.words)
    inner = sorted(rng.sample(range(1, count), min(INNER, count - 1)))
    words = torch.tensor([*inner, count])
    finished, manner = torch.zeros(len(words)), torch.full((len(words),), torch.nan)
    finished[-1] = float(runs.finished)
    if runs.manner is not None:
        manner[-1] = runs.manner
    return Streams(stream[words - 1].half(), words, finished, manner)


class TurnRecipe:
    """Trainable: one step is one batch of sentences."""

    def __init__(self, head: TurnHead, streams: Streams, steps: int) -> None:
        self.head, self.streams, self.steps = head.train(), streams, steps
        self.chances = evenly(streams.words, streams.finished)
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
    binary, stream = nn.functional.binary_cross_entropy_with_logits, streams.stream.float()
    words = binary(head.read(nn.functional.dropout(stream, DROPPED)), streams.finished)
    real = ~streams.manner.isnan()
    if not real.any():
        return words, words.new_zeros(())
    with torch.no_grad():  # the words are judged on their own
        judged = head.read(stream[real])
    return words, binary(head.join(judged, streams.manner[real]), streams.finished[real])
