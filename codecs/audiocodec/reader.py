"""The link between projected frames and the language model's tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiocodec.token_sounds import LONGEST, SIDES, SOUND_FEATURES, sound_features

ROW_NORM = 3.0
BLANK_BIAS = 2.0
LIKELY = 8  # tokens of a frame that a transcript may be made of
LEAST = 1e-7  # probability


class TokenReader(nn.Module):
    """Scores of projected frames over the blank and the tokens that can be heard.

    A token's row has two parts. The first is the language model's own embedding, normalised and frozen, so a
    frame that scores a token high lies near that token in the model's space. The second tells how the token
    sounds, by a learned matrix from its phones: so tokens are told that were seldom heard in training.
    """

    meanings: Tensor
    tokens: Tensor
    phones: Tensor

    def __init__(
        self, meanings: Tensor, tokens: Tensor, phones: Tensor | None = None, sound_width: int = 0
    ) -> None:
        """``meanings`` (V, D): embedding rows of ``tokens`` (V,), the model's numbers of what can be heard;
        ``phones`` (V, SIDES, LONGEST): see ``sound_features``.
        """
        super().__init__()
        unknown = torch.zeros(len(tokens), SIDES, LONGEST, dtype=torch.uint8)
        normal = nn.functional.normalize(meanings, dim=-1) * ROW_NORM
        self.register_buffer("meanings", normal, persistent=False)
        self.register_buffer("tokens", tokens.long())
        self.register_buffer("phones", unknown if phones is None else phones.to(torch.uint8))
        self.sound = nn.Linear(SOUND_FEATURES, sound_width, bias=False) if sound_width else None
        self.blank = nn.Parameter(torch.zeros(meanings.shape[1]))
        self.blank_bias = nn.Parameter(torch.tensor(BLANK_BIAS))
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.match: nn.Module | None = None  # frames times all rows by quicker means, without gradients

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Give rows (..., D + sound width) by their numbers; all by default."""
        meanings = self.meanings[index]
        if self.sound is None:
            return meanings
        phones = self.phones[index]
        features = sound_features(phones.reshape(-1, SIDES, LONGEST)).to(self.sound.weight.dtype)
        sounds = nn.functional.normalize(self.sound(features), dim=-1) * ROW_NORM
        return torch.cat([meanings, sounds.reshape(*meanings.shape[:-1], -1)], dim=-1)

    def forward(self, frames: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, T, D) to (B, T, 1 + V); index 0 is the blank. ``keep`` picks rows, to train on a
        part of them.
        """
        blank = (frames[..., : len(self.blank)] @ self.blank.to(frames.dtype)[:, None]) + self.blank_bias
        return torch.cat([blank, self._words(frames, keep) * self.scale], dim=-1)

    def _words(self, frames: Tensor, keep: Tensor | None) -> Tensor:
        if keep is None and self.match is not None:
            matched: Tensor = self.match(frames)
            return matched
        rows = self.rows() if keep is None else self.rows(keep)
        # This way round, because matrix libraries read a large left factor faster beside a narrow right one.
        return (rows.to(frames.dtype) @ frames.flatten(0, -2).T).T.view(*frames.shape[:-1], -1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What frames say: the likeliest tokens of each and how sure that is."""

    blank: Tensor  # (...,) probability that a frame says nothing new
    rows: Tensor  # (..., k) the reader's rows, the likelier ones first
    shares: Tensor  # (..., k) their probabilities where something is said; they sum to 1

    @property
    def best(self) -> Tensor:
        """(...,) 0 where nothing is likelier than the first token, else 1 + its row."""
        says = (1 - self.blank) * self.shares[..., 0] > self.blank
        return torch.where(says, 1 + self.rows[..., 0], 0)

    def part(self, which: int | slice) -> "Reading":
        """One or some of the first dimension."""
        return Reading(self.blank[which], self.rows[which], self.shares[which])

    @staticmethod
    def joined(readings: Sequence["Reading"]) -> "Reading":
        """Several, one after the other along the first dimension; nothing of none."""
        if not readings:
            return Reading(torch.zeros(0), torch.zeros(0, LIKELY, dtype=torch.long), torch.zeros(0, LIKELY))
        parts = zip(*((one.blank, one.rows, one.shares) for one in readings), strict=True)
        return Reading(*(torch.cat(part) for part in parts))


def read_frames(reader: TokenReader, frames: Tensor, likely: int = 2) -> Reading:
    """Read frames (B, T, D): so many ``likely`` tokens of each. No probability is quite 0."""
    probabilities = reader(frames).float().softmax(dim=-1)
    shares, rows = probabilities[..., 1:].topk(min(likely, len(reader)), dim=-1)
    shares = shares.clamp(min=LEAST)
    return Reading(probabilities[..., 0].clamp(min=LEAST), rows, shares / shares.sum(dim=-1, keepdim=True))
