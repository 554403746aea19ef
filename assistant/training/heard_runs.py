"""What the transformer is given of an utterance: as it was heard, or as it might be."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from assistant.model.hearing import LONGEST_RUN, Hearing, trait_shares
from assistant.model.manner import TRAITS
from assistant.model.trait_words import joined
from assistant.training.features import FeatureSet, HeardUtterance
from audiocodec.prosody import PROSODY_WIDTH
from audiocodec.reader import TokenReader

DROPPED, ADDED, MISTAKEN = 0.04, 0.02, 0.12  # of imagined words
ALIKE = 12  # tokens that a token is mistaken for
AT_RANDOM = 0.2  # of the mistakes are of no likeness
JUDGED_AFTER = 1  # codec frame behind the voice at which an end is judged
ROWS_AT_ONCE = 2_048
SUREST, DOUBT = 0.99, 0.45  # of an imagined trait


@dataclass(frozen=True, slots=True)
class Runs:
    """What the transformer is given of one utterance, before anything learned is applied."""

    words: Tensor  # (n, D) expected embeddings
    prosody: Tensor  # (n, PROSODY_WIDTH) means
    traits: Tensor  # (KINDS,) how likely each kind of each trait is, see assistant.model.trait_words
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
    acoustic, nothing = features.acoustic[rows].float(), hearing.manner.initial_state(1)
    output, _ = hearing.manner(semantic[None], prosody[None], reading.blank[None], acoustic[None], nothing)
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
    rest = (joined(trait_shares(output)), record.finished, float(output.finished[0, judged]))
    if not found_words:
        return Runs(torch.zeros(0, hearing.embedding.shape[1]), torch.zeros(0, prosody.shape[1]), *rest)
    return Runs(torch.stack(found_words), torch.stack(found_prosody), *rest)


def words_of(hearing: Hearing, runs: Runs) -> Tensor:
    """What the transformer reads while an utterance is spoken: its runs."""
    words: Tensor = runs.words + hearing.say_how(runs.prosody)
    return words


def embeddings_of(hearing: Hearing, runs: Runs) -> Tensor:
    """What the transformer reads of a whole utterance: its runs, then how it was said."""
    return torch.cat([words_of(hearing, runs), hearing.trait_words(hearing.embedding, runs.traits)])


@torch.no_grad()
def alike(reader: TokenReader) -> Tensor:
    """Rows (V, ALIKE) that sound most like each of the reader's rows, by the sound part of their vectors."""
    sounds = reader.rows()[:, reader.meanings.shape[1] :]
    near = []
    for part in torch.split(torch.arange(len(sounds)), ROWS_AT_ONCE):
        likeness = sounds[part] @ sounds.T
        likeness[torch.arange(len(part)), part] = -torch.inf
        near.append(likeness.topk(min(ALIKE, len(sounds) - 1)).indices)
    return torch.cat(near)


def imagined_traits(traits: Mapping[str, str], rng: Random) -> Tensor:
    """Shares (KINDS,) as the manner net might give for these traits, seldom quite sure; others are drawn."""
    shares = {}
    for name, kinds in TRAITS.items():
        kind = traits.get(name) or rng.choice(kinds)
        sure = SUREST - rng.random() ** 2 * DOUBT
        rest = (1 - sure) / (len(kinds) - 1)
        shares[name] = torch.tensor([sure if one == kind else rest for one in kinds])
    return joined(shares)


class Imagination:
    """Runs as the ear might give for some words: some dropped, added, mixed with others or mistaken, mostly
    for what sounds like them.
    """

    def __init__(self, hearing: Hearing) -> None:
        self.hearing, self.alike = hearing, alike(hearing.reader)

    def runs(self, rows: Tensor, rng: Random, traits: Mapping[str, str] | None = None) -> Runs:
        """Runs of ``rows`` (n,) of the reader; how they sound is drawn where ``traits`` do not tell."""
        kept = [row for row in rows.tolist() if rng.random() > DROPPED] or rows.tolist()
        words = []
        for row in kept:
            if rng.random() < MISTAKEN:
                row = self._other(row, rng)
            words.append(self._mixed(row, rng))
            if rng.random() < ADDED:
                words.append(self._mixed(rng.randrange(len(self.alike)), rng))
        shares = imagined_traits(traits or {}, rng)
        return Runs(torch.stack(words), torch.zeros(len(words), PROSODY_WIDTH), shares)

    def _other(self, row: int, rng: Random) -> int:
        if rng.random() < AT_RANDOM:
            return rng.randrange(len(self.alike))
        return int(self.alike[row, rng.randrange(self.alike.shape[1])])

    def _mixed(self, row: int, rng: Random) -> Tensor:
        share = 1 - rng.random() ** 2 * 0.45
        tokens = self.hearing.reader.tokens[[row, self._other(row, rng)]]
        first, second = self.hearing.embedding[tokens].float()
        mixed: Tensor = share * first + (1 - share) * second
        return mixed
