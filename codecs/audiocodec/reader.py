"""The link between projected frames and the language model's tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

ROW_NORM = 3.0
BLANK_BIAS = 2.0


class TokenReader(nn.Module):
    """Scores of projected frames over the blank and the tokens that can be heard.

    The rows are the language model's own embedding, normalised and frozen; only the scale and the blank are
    learned, so a frame that scores a token high lies near that token in the model's space.
    """

    rows: Tensor
    tokens: Tensor

    def __init__(self, rows: Tensor, tokens: Tensor) -> None:
        """``rows`` (V, D): embedding rows of ``tokens`` (V,), the model's numbers of what can be heard."""
        super().__init__()
        self.register_buffer("rows", nn.functional.normalize(rows, dim=-1) * ROW_NORM, persistent=False)
        self.register_buffer("tokens", tokens.long())
        self.blank = nn.Parameter(torch.zeros(rows.shape[1]))
        self.blank_bias = nn.Parameter(torch.tensor(BLANK_BIAS))
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.match: nn.Module | None = None  # frames times all rows by quicker means, without gradients

    def forward(self, frames: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, T, D) to (B, T, 1 + V); index 0 is the blank. ``keep`` picks rows, to train on a
        part of them.
        """
        blank = (frames @ self.blank.to(frames.dtype)[:, None]) + self.blank_bias
        return torch.cat([blank, self._words(frames, keep) * self.scale], dim=-1)

    def _words(self, frames: Tensor, keep: Tensor | None) -> Tensor:
        if keep is None and self.match is not None:
            matched: Tensor = self.match(frames)
            return matched
        rows = self.rows if keep is None else self.rows[keep]
        # This way round, because matrix libraries read a large left factor faster beside a narrow right one.
        return (rows.to(frames.dtype) @ frames.flatten(0, -2).T).T.view(*frames.shape[:-1], -1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What single frames say, best tokens first."""

    blank: Tensor  # (T,) probability that a frame says nothing new
    best: Tensor  # (T,) 0 where the blank is best, else 1 + row
    tokens: Tensor  # (T, n) the model's token numbers
    shares: Tensor  # (T, n) their probabilities, summing to 1


def read_frames(reader: TokenReader, frames: Tensor, count: int) -> Reading:
    """Read frames (T, D): the ``count`` likeliest tokens of each and how likely it says nothing."""
    scores = reader(frames[None])[0].float()
    probabilities = scores.softmax(dim=-1)
    shares, rows = probabilities[:, 1:].topk(count, dim=-1)
    shares = shares / shares.sum(dim=-1, keepdim=True)
    return Reading(probabilities[:, 0], scores.argmax(dim=-1), reader.tokens[rows], shares)
