"""Joint training: the transformer learns to answer what it hears, without forgetting what it reads.

Trained are low-rank adapters, the two audio markers' embeddings and the projections of how something was
said. The encoder's frames are kept from before, so a step costs only the transformer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor, nn

from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat, Message
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, Hearing
from assistant.model.manner import TRAITS
from assistant.training.features import FeatureSet, HeardUtterance
from assistant.training.heard_runs import Imagination, Runs, embeddings_of, runs_of
from assistant.training.lora import Adapted
from assistant.training.omni_data import Conversations, Example, imagined_utterances
from assistant.training.runs import seed_step
from assistant.training.texts import spoken_form

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Written:
    """One example as tokens; -1 marks places of heard embeddings."""

    tokens: list[int]
    targets: list[int]  # IGNORED where nothing is learned
    heard: list[tuple[int, Runs]]  # each sound with the place of its first embedding


def write(chat: ChatFormat, example: Example, runs: Runs | None, then: Runs | None = None) -> Written:
    """Lay an example out in ChatML; its answers are learned, the earlier ones too.

    ``runs`` are those of its sound, ``then`` those of its second spoken ask. Where there is no answer the
    typed words themselves are learned, as someone would say them.
    """
    tokens: list[int] = []
    targets: list[int] = []
    heard: list[tuple[int, Runs]] = []

    def learn(text: str) -> None:
        said = [*chat.tokenizer.encode(text), chat.turn_end]
        targets.extend([*[IGNORED] * (len(tokens) - 1 - len(targets)), *said])

    def ask(sound: Runs | None, typed: str) -> None:
        tokens.extend(chat.open("user"))
        if sound is not None:
            heard.append((len(tokens) + 1, sound))
            tokens.extend([AUDIO_OPEN, *[-1] * (len(sound.words) + len(TRAITS)), AUDIO_CLOSE])
        tokens.extend([*chat.tokenizer.encode(typed), *chat.close(), *chat.open("assistant")])

    def reply(text: str) -> None:
        learn(text)
        tokens.extend([*chat.tokenizer.encode(text), *chat.close()])

    if example.answer is None:
        tokens.extend(chat.open("user"))
        learn(example.typed)
        return Written([*tokens, *chat.tokenizer.encode(example.typed)], targets, heard)
    if example.system:
        tokens.extend(chat.turn(Message("system", example.system)))
    for asked, replied in example.history:
        ask(None, asked)
        reply(replied)
    ask(runs, example.typed)
    reply(example.answer)
    if example.then is not None and then is not None:
        ask(then, "")
        reply(example.then[1])
    return Written(tokens[: len(targets)], targets, heard)


@dataclass(frozen=True, slots=True)
class OmniPace:
    """How joint training goes."""

    rank: int = 32
    first: int = 12  # block; the voice reads the stream before it, which must stay what it was trained on
    rate: float = 1e-3
    batch: int = 12
    pool: int = 6  # batches that are drawn together and sorted by length, so that little is padded
    deep_every: int = 4  # steps between those whose gradient reaches below ``first``: markers and projections
    steps: int = 1_500
    warm_up: int = 30


@dataclass(frozen=True, slots=True)
class Speech:
    """How words become tokens: in a conversation, and in what is heard."""

    chat: ChatFormat
    rows: Callable[[str], list[int]]  # the reader's rows of some words
    names: frozenset[str]


class OmniRecipe:
    """Trainable: one step is one batch of conversations."""

    def __init__(
        self,
        backbone: Backbone,
        hearing: Hearing,
        features: FeatureSet | None,
        speech: Speech,
        pace: OmniPace,
        sentences: tuple[str, ...] = (),
    ) -> None:
        """Without ``features`` everything is imagined: a start while the encoder still learns.

        ``sentences`` are others than the dialogues', of which is learned what people say.
        """
        self.backbone, self.hearing, self.features, self.pace = backbone, hearing, features, pace
        self.chat, self.rows, self.names = speech.chat, speech.rows, speech.names
        self.adapted = Adapted(backbone, pace.rank, (AUDIO_OPEN, AUDIO_CLOSE), pace.first)
        self.projections = nn.ModuleDict({"say_how": hearing.say_how, "trait_words": hearing.trait_words})
        imagined = imagined_utterances()
        if features is not None:
            imagined = imagined[:: max(1, len(imagined) * 4 // max(1, len(features.records)))]
        heard = (*imagined, *(features.records if features is not None else ()))
        self.conversations = Conversations(heard, sentences)
        self.imagination = Imagination(hearing)
        self._pool: tuple[int, list[list[Written]]] | None = None  # the newest group and its batches
        self.optimizer = torch.optim.AdamW(
            [p for module in self.modules().values() for p in module.parameters() if p.requires_grad],
            pace.rate,
            betas=(0.9, 0.98),
            weight_decay=0.0,
        )

    def modules(self) -> dict[str, nn.Module]:
        """What is learned."""
        return {"adapted": self.adapted, "projections": self.projections}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Its optimiser."""
        return {"omni": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch."""
        pace = self.pace
        batch = self.batch(number)
        rate = pace.rate * min(1.0, (number + 1) / pace.warm_up) * max(0.05, 1 - number / pace.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        answers = self.loss(batch, deep=number % pace.deep_every == 0)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(answers)
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 1.0)
        self.optimizer.step()
        return {"answer": float(answers.detach())}

    def batch(self, number: int) -> list[Written]:
        """The conversations of a step: a slice of a pool that was drawn and sorted by length."""
        group, index = divmod(number, self.pace.pool)
        if self._pool is None or self._pool[0] != group:
            self._pool = (group, self._draw(seed_step(3, group)))
        return self._pool[1][index]

    def _draw(self, rng: Random) -> list[list[Written]]:
        drawn = []
        for _ in range(self.pace.batch * self.pace.pool):
            example = self.conversations.draw(rng)
            if example.answer is None:
                example = replace(example, typed=spoken_form(example.typed, self.names))
            runs = None if example.heard is None else self.runs(example.heard, rng)
            then = None if example.then is None else self.imagined(example.then[0], rng, example.traits)
            drawn.append(write(self.chat, example, runs, then))
        drawn.sort(key=lambda one: len(one.tokens))
        batches = [drawn[start : start + self.pace.batch] for start in range(0, len(drawn), self.pace.batch)]
        rng.shuffle(batches)
        return batches

    @torch.no_grad()
    def runs(self, record: HeardUtterance, rng: Random) -> Runs:
        """What is heard of an utterance, or imagined where it has no frames."""
        if record.frames and self.features is not None:
            return runs_of(self.hearing, self.features, record)
        return self.imagined(record.text, rng, record.traits, record.finished)

    @torch.no_grad()
    def imagined(
        self, text: str, rng: Random, traits: Mapping[str, str] | None = None, finished: bool = True
    ) -> Runs:
        """What might be heard of some words, said in this way."""
        rows = self.rows(spoken_form(text, self.names))
        return replace(self.imagination.runs(torch.tensor(rows or [0]), rng, traits), finished=finished)

    def loss(self, batch: list[Written], deep: bool = True) -> Tensor:
        """Cross-entropy of the tokens that are learned.

        Not ``deep``: the gradient ends at the first adapter, which spares the blocks below it."""
        length = max(len(one.tokens) for one in batch)
        tokens = torch.zeros(len(batch), length, dtype=torch.long)
        targets = torch.full((len(batch), length), IGNORED)
        keep = torch.zeros(len(batch), length, dtype=torch.bool)
        for row, one in enumerate(batch):
            tokens[row, : len(one.tokens)] = torch.tensor(one.tokens)
            targets[row, : len(one.targets)] = torch.tensor(one.targets)
            keep[row, : len(one.tokens)] = True
        x = self.adapted.embed(self.backbone, tokens.clamp(min=0))
        heard = [(row, first, runs) for row, one in enumerate(batch) for first, runs in one.heard]
        if heard:
            x = x.masked_scatter(
                (tokens == -1)[..., None], torch.cat([self.embed(runs) for _, _, runs in heard])
            )
        x = x.to(self.backbone.embedding.weight.dtype)
        states = self.backbone(x if deep else x.detach(), keep=keep)
        wanted = targets != IGNORED
        logits = self.backbone.logits(states.last[wanted])
        answers = nn.functional.cross_entropy(logits.float(), targets[wanted], reduction="sum")
        return answers / max(1, int(wanted.sum()))

    def embed(self, runs: Runs) -> Tensor:
        """Embeddings of an utterance, see ``embeddings_of``."""
        return embeddings_of(self.hearing, runs)
