"""The likeliest sequences of tokens that some frames may say.

Every frame names some tokens and how likely each of them, and nothing, is. A sequence's probability is the
sum over all ways to say it, repeats of a token merged, blanks left out; the search keeps the best prefixes.
What another look at the same sound found can be asked about them too.
Sources: Graves et al. 2006 (CTC, the sum over alignments); Hannun et al. 2014, arXiv:1408.2873 (the search).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from audiocodec.reader import LEAST, Reading

BEAM = 96  # prefixes kept
SURE = 0.999  # blanks above are taken for certain
UNNAMED = 1e-4  # part of what a frame says, if it says anything, that any token has which it does not name
Prefix = tuple[int, ...]
Ends = tuple[float, float]  # log probabilities of a prefix that ends with a blank, and with its last token
NEVER = -math.inf


@dataclass(frozen=True, slots=True)
class Sentence:
    """Tokens that may have been said."""

    rows: Prefix  # of the reader
    score: float  # natural log of their probability


def likely_sentences(reading: Reading, count: int, beam: int = BEAM) -> list[Sentence]:
    """Give the ``count`` likeliest sequences of frames (T,), the best first."""
    beams: dict[Prefix, Ends] = {(): (0.0, NEVER)}
    frames = zip(reading.blank.tolist(), reading.rows.tolist(), reading.shares.tolist(), strict=True)
    for blank, rows, shares in frames:
        if blank > SURE:
            beams = {prefix: (logadd(*ends) + math.log(blank), NEVER) for prefix, ends in beams.items()}
            continue
        says = [(row, math.log((1 - blank) * share)) for row, share in zip(rows, shares, strict=True)]
        longer = _longer(beams, math.log(blank), says)
        kept = sorted(longer.items(), key=lambda item: -logadd(*item[1]))[:beam]
        beams = dict(kept)
    found = sorted(beams.items(), key=lambda item: -logadd(*item[1]))[:count]
    return [Sentence(prefix, logadd(*ends)) for prefix, ends in found]


def how_likely(reading: Reading, sentences: Sequence[Prefix]) -> list[float]:
    """Natural log of the probabilities with which frames (T,) say sentences, whoever found them."""
    known = {row: place for place, row in enumerate(sorted({row for rows in sentences for row in rows}), 1)}
    says = (1 - reading.blank)[:, None] * UNNAMED
    table = torch.cat([reading.blank[:, None], says.expand(-1, len(known))], dim=1).clamp(min=LEAST)
    for frame, (rows, shares) in enumerate(zip(reading.rows.tolist(), reading.shares, strict=True)):
        named = [(place, index) for index, row in enumerate(rows) if (place := known.get(row))]
        for place, index in named:
            table[frame, place] += (1 - reading.blank[frame]) * shares[index]
    said = torch.tensor([known[row] for rows in sentences for row in rows], dtype=torch.long)
    lengths = torch.tensor([len(rows) for rows in sentences])
    scores = table.log()[:, None].expand(-1, len(sentences), -1).contiguous()
    frames = torch.full_like(lengths, len(table))
    return (-nn.functional.ctc_loss(scores, said, frames, lengths, reduction="none")).tolist()


def _longer(beams: dict[Prefix, Ends], blank: float, says: list[tuple[int, float]]) -> dict[Prefix, Ends]:
    """All prefixes one frame later."""
    found: dict[Prefix, list[float]] = defaultdict(lambda: [NEVER, NEVER])
    for prefix, (closed, open_) in beams.items():
        either = logadd(closed, open_)
        same = found[prefix]
        same[0] = logadd(same[0], either + blank)
        for row, score in says:
            again = bool(prefix) and prefix[-1] == row
            if again:
                same[1] = logadd(same[1], open_ + score)
            more = found[(*prefix, row)]
            more[1] = logadd(more[1], (closed if again else either) + score)
    return {prefix: (ends[0], ends[1]) for prefix, ends in found.items()}


def logadd(first: float, second: float) -> float:
    """Logarithm of the sum of two exponentials."""
    high, low = max(first, second), min(first, second)
    return high if low == NEVER else high + math.log1p(math.exp(low - high))
