"""Names projected frames by the token that each says, and what is left over by residual codebooks."""

import torch
from torch import Tensor, nn

from audiocodec.reader import TokenReader
from audiocodec.rvq import ResidualCodebooks

DIGITS = 2  # codes that spell a token's number


class NamedCodebooks(nn.Module):
    """Codes of the frames that carry words.

    The first two codes spell the number of the token that the reader finds likeliest, 0 for the blank: so
    what was heard survives the codes, whatever its word, which codebooks fitted to frames cannot promise for
    words that they seldom met. The other codes are residual codebooks over what is left.
    """

    along: Tensor
    nothing: Tensor

    def __init__(self, codebooks: int, size: int, width: int) -> None:
        """``codebooks`` counts the two of the name as well."""
        super().__init__()
        self.size = size
        self.left = ResidualCodebooks(codebooks - DIGITS, size, width)
        self.register_buffer("along", torch.ones(()))  # how far frames reach in the direction of their token
        self.register_buffer("nothing", torch.zeros(width))  # the mean frame that says nothing new

    def forward(self, frames: Tensor, reader: TokenReader) -> tuple[Tensor, Tensor]:
        """Name frames (B, T, width): codes (B, T, K) int64 and the vectors that they stand for."""
        names = reader(frames).argmax(dim=-1)
        spelled = torch.stack([names // self.size, names % self.size], dim=-1)
        middle = self._middle(names, reader)
        codes, left = self.left(frames - middle)
        return torch.cat([spelled, codes], dim=-1), middle + left

    def decode(self, codes: Tensor, reader: TokenReader) -> Tensor:
        """Give the vectors (..., width) that codes (..., K) stand for; unknown names count as the blank."""
        names = codes[..., 0] * self.size + codes[..., 1]
        names = torch.where(names <= len(reader.rows), names, 0)
        return self._middle(names, reader) + self.left.decode(codes[..., DIGITS:])

    def _middle(self, names: Tensor, reader: TokenReader) -> Tensor:
        """Where the frames of a name lie."""
        words = self.along * reader.rows[(names - 1).clamp(min=0)]
        return torch.where((names > 0)[..., None], words, self.nothing)

    @torch.no_grad()
    def fit(self, frames: Tensor, reader: TokenReader, generator: torch.Generator) -> list[float]:
        """Fit to (N, width); gives the part of what the names leave over that is left after each codebook.

        As many frames that say nothing as such that say something count.
        """
        names = torch.cat([reader(part[None])[0].argmax(dim=-1) for part in torch.split(frames, 8_192)])
        said, silent = torch.nonzero(names > 0)[:, 0], torch.nonzero(names == 0)[:, 0]
        rows = reader.rows[names[said] - 1]
        self.along.copy_((frames[said] * rows).sum(dim=-1).mean() / rows.square().sum(dim=-1).mean())
        self.nothing.copy_(frames[silent].mean(dim=0))
        silent = silent[torch.randperm(len(silent), generator=generator)[: len(said)]]
        chosen = torch.cat([said, silent])
        return self.left.fit(frames[chosen] - self._middle(names[chosen], reader), generator)
