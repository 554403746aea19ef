"""How an utterance sounded, in words that the transformer can already read."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from assistant.model.manner import TRAITS

WORDS: dict[str, str] = {  # one token each, as answers to "How did I sound?" use them
    "slow": " slowly",
    "fast": " fast",
    "quiet": " softly",
    "loud": " loudly",
    "usual": " usual",
    "low": " low",
    "middle": " middle",
    "high": " high",
    "voiced": " spoke",
    "whispered": " whispered",
    "statement": " statement",
    "question": " question",
}
KINDS = sum(len(kinds) for kinds in TRAITS.values())


def joined(shares: Mapping[str, Tensor]) -> Tensor:
    """Shares of every kind, trait by trait, as one vector: (..., kinds of a trait) each to (..., KINDS)."""
    return torch.cat([shares[name] for name in TRAITS], dim=-1)


class TraitWords(nn.Module):
    """One embedding a trait: the words for its kinds, weighed by how likely each is.

    A net that sums up an utterance in a vector of its own would first have to teach the transformer what the
    vector means; "slowly" or "whispered" it knows. Which trait is told is learned, as an offset.
    """

    tokens: Tensor

    def __init__(self, width: int) -> None:
        """``width`` of the transformer."""
        super().__init__()
        self.offsets = nn.Parameter(torch.zeros(len(TRAITS), width))
        self.register_buffer("tokens", torch.zeros(KINDS, dtype=torch.long))

    def name(self, encode: Callable[[str], list[int]]) -> None:
        """Take the words' tokens from a tokenizer, once, before training; the weights keep them."""
        kinds = [kind for of in TRAITS.values() for kind in of]
        self.tokens.copy_(torch.tensor([encode(WORDS[kind])[0] for kind in kinds]))

    def forward(self, embedding: Tensor, shares: Tensor) -> Tensor:
        """Write an impression down.

        Args:
            embedding: (vocabulary, D), the transformer's own.
            shares: (KINDS,) as ``joined`` gives them.

        Returns:
            (traits, D).
        """
        weighed = embedding[self.tokens].float() * shares[:, None]
        parts = torch.split(weighed, [len(kinds) for kinds in TRAITS.values()])
        return torch.stack([part.sum(dim=0) for part in parts]) + self.offsets
