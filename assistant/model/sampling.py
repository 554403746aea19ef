"""From scores to tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LOOP_WINDOW = 128  # tokens back to which a phrase is looked for


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose the next token; temperature 0 takes the best one always."""

    temperature: float = 0.0
    top_k: int = 0  # 0: no limit
    top_p: float = 1.0  # least probability mass that stays

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}, must be 0 or more")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(
                f"top_k is {self.top_k}, must be 0 or more; top_p is {self.top_p}, must be in (0, 1]"
            )


def sample(logits: Tensor, how: Sampling, generator: torch.Generator | None = None) -> Tensor:
    """Choose one token per row of (B, vocabulary) logits: (B,) int64.

    Source for top_p: Holtzman et al. 2019, arXiv 1904.09751, section 3.1.
    """
    if how.temperature == 0:
        return logits.argmax(dim=-1)
    count = how.top_k or logits.shape[-1]
    scores, tokens = torch.topk(logits / how.temperature, min(count, logits.shape[-1]), dim=-1)
    probabilities = scores.softmax(dim=-1)
    if how.top_p < 1:
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(before >= how.top_p, 0.0)
    choice = torch.multinomial(probabilities, 1, generator=generator)
    return tokens.gather(-1, choice).squeeze(-1)


def without_loops(logits: Tensor, said: Sequence[int]) -> Tensor:
    """Rule out, in logits (1, vocabulary), what would say a phrase a third time after the tokens ``said``.

    A small model that has begun to repeat itself finds each further round more likely; a third round close
    to the others is hardly ever meant.
    """
    barred = looping(said[-LOOP_WINDOW:])
    return logits.index_fill(-1, torch.tensor(barred), float("-inf")) if barred else logits


def looping(said: Sequence[int], length: int = 3, times: int = 2) -> list[int]:
    """Tokens that would say the same ``length`` tokens more than ``times`` times."""
    context = tuple(said[len(said) - length + 1 :])
    if len(context) < length - 1:
        return []
    followers = [
        said[end] for end in range(length - 1, len(said)) if tuple(said[end - length + 1 : end]) == context
    ]
    return sorted({token for token in followers if followers.count(token) >= times})
