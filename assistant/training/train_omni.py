"""Joint training: the transformer learns to answer what it hears, without forgetting what it reads.

Trained are low-rank adapters, the two audio markers' embeddings, the projections of how something was said,
and the turn head. The encoder's frames are kept from before, so a step costs only the transformer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor, nn

from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat, Message
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, LONGEST_RUN, Hearing
from assistant.model.turn_head import TurnHead
from assistant.training.features import FeatureSet, HeardUtterance
from assistant.training.lora import Adapted
from assistant.training.omni_data import Conversations, Example, imagined_utterances
from assistant.training.runs import seed_step
from assistant.training.texts import spoken_form
from audiocodec.prosody import PROSODY_WIDTH

IGNORED = -100
DROPPED, MISTAKEN = 0.04, 0.12  # of imagined words
TURN_WEIGHT = 0.3  # of the turn head's loss against the answers'
JUDGED_AFTER = 1  # codec frame behind the voice at which an end is judged


@dataclass(frozen=True, slots=True)
class Runs:
    """What the transformer is given of one utterance, before anything learned is applied."""

    words: Tensor  # (n, D) expected embeddings
    prosody: Tensor  # (n, PROSODY_WIDTH) means
    whole: Tensor  # (hidden,) the manner's last state
    finished: bool = True  # whether the speaker has
    manner: float | None = None  # the manner's logit of it, soon after the last word; None where imagined


def runs_of(hearing: Hearing, features: FeatureSet, record: HeardUtterance) -> Runs:
    """The same runs as ``Hearing.step`` makes, for an utterance of a set that went through the codebooks."""
    rows = features.rows(record)
    if features.codes is None:
        raise ValueError("these frames have no codes: take them through the codebooks first")
    semantic, prosody = features.semantic[rows].float(), features.prosody[rows]
    reading = hearing.listener.read(features.codes[rows].long())
    tokens = hearing.reader.tokens[reading.rows]
    output, _ = hearing.manner(
        semantic[None], prosody[None], reading.blank[None], hearing.manner.initial_state(1)
    )
    best = reading.best
    starts = torch.cat([torch.ones(1, dtype=torch.bool), best[1:] != best[:-1]])
    run = starts.long().cumsum(0) - 1
    words = (hearing.embedding[tokens].float() * reading.shares[..., None]).sum(dim=1)
    found_words, found_prosody = [], []
    for index in torch.unique(run[best > 0]):
        frames = torch.nonzero(run == index).squeeze(1)[:LONGEST_RUN]
        found_words.append(words[frames].mean(dim=0))
        found_prosody.append(prosody[frames].mean(dim=0))
    judged = min(record.speech_end + JUDGED_AFTER, record.frames - 1)
    rest = (output.hidden[0, -1], record.finished, float(output.finished[0, judged]))
    if not found_words:
        return Runs(torch.zeros(0, hearing.embedding.shape[1]), torch.zeros(0, prosody.shape[1]), *rest)
    return Runs(torch.stack(found_words), torch.stack(found_prosody), *rest)


def imagined_runs(hearing: Hearing, rows: Tensor, rng: Random) -> Runs:
    """Runs as an encoder might give for some words: ``rows`` (n,) of the reader, mixed with
    and mistaken for others.
    """
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    tokens = hearing.reader.tokens
    kept = [row for row in rows.tolist() if rng.random() > DROPPED] or rows.tolist()
    words = []
    for row in kept:
        if rng.random() < MISTAKEN:
            row = int(torch.randint(len(tokens), (1,), generator=generator))
        share = 1 - rng.random() ** 2 * 0.45
        other = tokens[int(torch.randint(len(tokens), (1,), generator=generator))]
        mixed = (
            share * hearing.embedding[tokens[row]].float() + (1 - share) * hearing.embedding[other].float()
        )
        words.append(mixed)
    hidden = torch.zeros(hearing.manner.config.hidden)
    return Runs(torch.stack(words), torch.zeros(len(words), PROSODY_WIDTH), hidden)


@dataclass(frozen=True, slots=True)
class Written:
    """One example as tokens; -1 marks places of heard embeddings."""

    tokens: list[int]
    targets: list[int]  # IGNORED where nothing is learned
    heard: list[tuple[int, Runs]]  # each sound with the place of its first embedding


def write(chat: ChatFormat, example: Example, runs: Runs | None, then: Runs | None = None) -> Written:
    """Lay an example out in ChatML; its answers are learned, the earlier ones too.

    ``runs`` are those of its sound, ``then`` those of its second spoken ask.
    """
    tokens: list[int] = []
    targets: list[int] = []
    heard: list[tuple[int, Runs]] = []

    def ask(sound: Runs | None, typed: str) -> None:
        tokens.extend(chat.open("user"))
        if sound is not None:
            heard.append((len(tokens) + 1, sound))
            tokens.extend([AUDIO_OPEN, *[-1] * (len(sound.words) + 1), AUDIO_CLOSE])
        tokens.extend([*chat.tokenizer.encode(typed), *chat.close(), *chat.open("assistant")])

    def reply(text: str) -> None:
        said = [*chat.tokenizer.encode(text), chat.turn_end]
        targets.extend([*[IGNORED] * (len(tokens) - 1 - len(targets)), *said])
        tokens.extend([*chat.tokenizer.encode(text), *chat.close()])

    if example.system:
        tokens.extend(chat.turn(Message("system", example.system)))
    for asked, replied in example.history:
        ask(None, asked)
        reply(replied)
    ask(runs, example.typed)
    if example.answer is None:
        return Written(tokens, [IGNORED] * len(tokens), heard)
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
    ) -> None:
        """Without ``features`` everything is imagined: a start while the encoder still learns."""
        self.backbone, self.hearing, self.features, self.pace = backbone, hearing, features, pace
        self.chat, self.rows, self.names = speech.chat, speech.rows, speech.names
        self.adapted = Adapted(backbone, pace.rank, (AUDIO_OPEN, AUDIO_CLOSE), pace.first)
        self.turn_head = TurnHead(backbone.config.width)
        self.projections = nn.ModuleDict({"say_how": hearing.say_how, "sum_up": hearing.sum_up})
        imagined = imagined_utterances()
        if features is not None:
            imagined = imagined[:: max(1, len(imagined) * 4 // max(1, len(features.records)))]
        self.conversations = Conversations((*imagined, *(features.records if features is not None else ())))
        self._pool: tuple[int, list[list[Written]]] | None = None  # the newest group and its batches
        self.optimizer = torch.optim.AdamW(
            [p for module in self.modules().values() for p in module.parameters() if p.requires_grad],
            pace.rate,
            betas=(0.9, 0.98),
            weight_decay=0.0,
        )

    def modules(self) -> dict[str, nn.Module]:
        """What is learned."""
        return {"adapted": self.adapted, "projections": self.projections, "turn_head": self.turn_head}

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
        answers, turns = self.losses(batch, deep=number % pace.deep_every == 0)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(answers + TURN_WEIGHT * turns)
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 1.0)
        self.optimizer.step()
        return {"answer": float(answers.detach()), "turn": float(turns.detach())}

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
            runs = None if example.heard is None else self.runs(example.heard, rng)
            then = None if example.then is None else self.imagined(example.then[0], rng)
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
        return self.imagined(record.text, rng, record.finished)

    @torch.no_grad()
    def imagined(self, text: str, rng: Random, finished: bool = True) -> Runs:
        """What might be heard of some words."""
        rows = self.rows(spoken_form(text, self.names))
        return replace(imagined_runs(self.hearing, torch.tensor(rows or [0]), rng), finished=finished)

    def losses(self, batch: list[Written], deep: bool = True) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the answers' tokens, and of "finished" at the end of each sound.

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
        states = self.backbone(x if deep else x.detach(), keep=keep, layer=self.backbone.config.layers)
        wanted = targets != IGNORED
        logits = self.backbone.logits(states.last[wanted])
        answers = nn.functional.cross_entropy(logits.float(), targets[wanted], reduction="sum")
        assert states.layer is not None
        return answers / max(1, int(wanted.sum())), self._turns(states.layer, heard)

    def embed(self, runs: Runs) -> Tensor:
        """Embeddings of an utterance: its runs, then the sum of how it was said."""
        words = runs.words + self.hearing.say_how(runs.prosody)
        return torch.cat([words, self.hearing.sum_up(runs.whole)[None]])

    def _turns(self, stream: Tensor, heard: list[tuple[int, int, Runs]]) -> Tensor:
        """Loss of the words' judgement at each closing marker, and of both together where sound is real."""
        if not heard:
            return stream.new_zeros((), dtype=torch.float32)
        rows = torch.tensor([row for row, _, _ in heard])
        closing = torch.tensor([first + len(runs.words) + 1 for _, first, runs in heard])
        goal = torch.tensor([float(runs.finished) for _, _, runs in heard])
        binary = nn.functional.binary_cross_entropy_with_logits
        words = self.turn_head.read(stream[rows, closing].float())
        loss = binary(words, goal)
        real = [index for index, (_, _, runs) in enumerate(heard) if runs.manner is not None]
        if real:
            manner = torch.tensor([runs.manner for _, _, runs in heard if runs.manner is not None])
            loss = loss + binary(self.turn_head.join(words[real], manner), goal[real])
        return loss
