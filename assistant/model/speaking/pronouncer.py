"""Spelling to phones: the assistant's own net, taught from a lexicon and from sentences.

Every letter of a word gets three places; each place holds a phone or nothing, and the phones in order are
how the word is said. The transformer's states tell apart what is spelled alike ("read", "lead"); the
neighbouring letters tell "the" before a vowel.

Source: alignment without labels as in Graves et al. 2006, Connectionist temporal classification.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.exceptions import Said
from assistant.model.speaking.layers import TokenState, WindowBlock
from assistant.model.speaking.units import N_PHONES, PAD

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'<>"
PLACES = 3  # phones that one letter may stand for
BEFORE, AFTER = 2, 3  # letters of the neighbouring words that are seen
LONGEST_WORD = 40  # letters; what is longer is said in pieces
WIDTH_STEP = 4  # few different widths: each one is prepared for once by the matrix library
NEIGHBOUR, WORD = 1, 2  # segments


@dataclass(frozen=True, slots=True)
class Spelling:
    """Words as letters, ready for the net."""

    letters: Tensor  # (N, L) int64, 0 where empty
    segments: Tensor  # (N, L) int64: 0 empty, NEIGHBOUR or WORD


def spelling(words: Sequence[tuple[str, str, str]]) -> Spelling:
    """Number the letters of words, each given with the word before and the one after it (empty if none)."""
    codes = {letter: index + 1 for index, letter in enumerate(LETTERS)}
    rows = []
    for before, word, after in words:
        row = [(codes[c], NEIGHBOUR) for c in before[-BEFORE:]]
        row += [(codes[c], WORD) for c in f"<{word}>"]
        rows.append(row + [(codes[c], NEIGHBOUR) for c in after[:AFTER]])
    width = -(-max(len(row) for row in rows) // WIDTH_STEP) * WIDTH_STEP
    table = torch.tensor([row + [(0, 0)] * (width - len(row)) for row in rows])
    return Spelling(table[..., 0], table[..., 1])


class Pronouncer(nn.Module):
    """Letters and token states to phones."""

    def __init__(self, config: MelHeadConfig) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS) + 1, config.width)
        self.segments = nn.Embedding(3, config.width)
        self.capital = nn.Embedding(2, config.width)
        self.state = TokenState(config.model_width, config.width)
        self.blocks = nn.ModuleList(
            WindowBlock(config.width, config.hidden, config.kernel) for _ in range(config.letter_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, PLACES * N_PHONES)
        self.exceptions: Said = {}

    def forward(self, spelled: Spelling, capitals: Tensor, states: Tensor | None) -> Tensor:
        """Score the phones of every place.

        Args:
            spelled: N words.
            capitals: (N,) int64, 1 where the word was written with a capital.
            states: (N, 2 * D) embedding and hidden state of each word's last token; ``None`` for words alone.

        Returns:
            (N, L * PLACES, N_PHONES) scores; places outside the word are nothing (PAD).
        """
        x = self.letters(spelled.letters) + self.segments(spelled.segments) + self.capital(capitals)[:, None]
        if states is not None:
            x = x + self.state(states)[:, None]
        mask = (spelled.segments > 0)[..., None].to(x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        scores = self.leave(self.norm(x)).unflatten(-1, (PLACES, N_PHONES))
        outside = (spelled.segments != WORD)[:, :, None, None]
        closed = torch.full_like(scores[:1, :1, :1], -20.0)
        closed[..., PAD] = 0
        return torch.where(outside, closed, scores).flatten(1, 2)

    def say(self, before: str, word: str, after: str, capital: bool, state: Tensor) -> tuple[int, ...]:
        """Give the phones of one word of a stream, as unit ids; ``state`` (2 * D,) is its last token's."""
        listed = self.exceptions.get(word)
        if listed:
            return listed
        spelled = spelling([(before, word, after)])
        return tuple(self.pronounce(spelled, torch.tensor([int(capital)]), state[None])[0])

    def pronounce(self, spelled: Spelling, capitals: Tensor, states: Tensor | None) -> list[list[int]]:
        """Give the phones of every word, as unit ids."""
        best = self(spelled, capitals, states).argmax(dim=-1)
        changed = torch.ones_like(best, dtype=torch.bool)
        changed[:, 1:] = best[:, 1:] != best[:, :-1]
        keep = changed & (best != PAD)
        return [row[mask].tolist() for row, mask in zip(best, keep, strict=True)]
