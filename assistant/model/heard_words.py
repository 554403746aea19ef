"""Keeps a transcript to what was heard, run by run.

A small transformer likes to write what people usually say. So its scores are joined with those of a walk over
the heard runs: each stands for one of the tokens near it, or for nothing; words may be put in, dearly. The
walk knows how far the transcript has come, so nothing is said twice or left out unpunished.

Source: joint decoding with the prefix scores of an alignment, Hori et al. 2017, arXiv:1706.02737, section 3,
over runs in place of frames.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import normalize

NEAR_TOKENS = 12  # that a run may stand for
SHARPNESS = 20.0  # natural log by which a token that is the run's own is likelier than one across it
SKIPPED, MEANT = math.log(0.03), math.log(0.97)  # a run that stands for nothing, or for a token
PUT_IN = -8.0  # a word that no run stands for
FREE = -5.0  # a mark, which is not heard by itself


class HeardWords:
    """The walk over one utterance. A state is a value: log probabilities (T + 1,) of so many runs used up."""

    def __init__(self, embedding: Tensor, heard: Tensor, free: Iterable[int], end: int) -> None:
        """``heard`` (T, D) are the runs, ``embedding`` (vocabulary, D) the transformer's; the tokens ``free``
        need no run, ``end`` ends the transcript.
        """
        rows = embedding.float()
        likeness = normalize(heard.float(), dim=-1) @ rows.T / rows.norm(dim=-1)  # without a copy of all rows
        near: Tensor = torch.unique(likeness.topk(NEAR_TOKENS, dim=-1).indices)
        scores = (SHARPNESS * likeness).log_softmax(dim=-1)
        self.tokens, self.scores = near, scores[:, near]  # (C,), (T, C)
        self.places = {int(token): place for place, token in enumerate(near)}
        self.free = torch.tensor(sorted(set(free)), dtype=torch.long)
        self.end, self.vocabulary = end, len(rows)
        steps = torch.arange(len(heard) + 1)
        behind = steps[:, None] - steps[None]
        self.skips = torch.where(behind >= 0, behind * SKIPPED, -torch.inf)  # (to, from)

    def begin(self) -> Tensor:
        """Nothing is written yet."""
        state = torch.full((len(self.scores) + 1,), -torch.inf)
        state[0] = 0.0
        return state

    def weigh(self, logits: Tensor, state: Tensor) -> Tensor:
        """The transformer's scores (vocabulary,) joined with the walk's."""
        arrived = torch.logsumexp(self.skips + state[None], dim=1)  # runs skipped before the next one
        matched = torch.logsumexp(arrived[:-1, None] + MEANT + self.scores, dim=0)
        walk = torch.full((self.vocabulary,), PUT_IN)
        walk[self.tokens] = torch.logaddexp(matched, walk[self.tokens])
        walk[self.free] = walk[self.free].clamp(min=FREE)
        walk[self.end] = arrived[-1]
        return logits.log_softmax(dim=-1) + walk

    def after(self, state: Tensor, token: int) -> Tensor:
        """The state when ``token`` has been written too."""
        stayed = state + PUT_IN
        if token in self.places:
            arrived = torch.logsumexp(self.skips + state[None], dim=1)
            matched = arrived[:-1] + MEANT + self.scores[:, self.places[token]]
            stayed[1:] = torch.logaddexp(stayed[1:], matched)
        if token in self.free.tolist():
            stayed = torch.logaddexp(stayed, state + FREE)
        return stayed - stayed.logsumexp(dim=0)
