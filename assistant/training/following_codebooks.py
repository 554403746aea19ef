"""Codebooks that follow the frames while an encoder is trained through them."""

import torch
from torch import Tensor

from audiocodec.rvq import ResidualCodebooks, nearest

KEEP = 0.995  # of a book's running sums, a step
GATHERED = 24_000  # frames that the books are fitted on before the first step
SELDOM = 0.05  # running count under which an entry begins again at a frame
TELLING = 0.1  # least weight of a frame that says nothing new


class FollowingCodebooks(ResidualCodebooks):
    """Residual codebooks whose entries are running means of the frames that chose them.

    Frames that say nothing new weigh little: they are four in five and all alike. Source: van den Oord et
    al. 2017, arXiv:1711.00937, appendix A.1; entries that nobody chooses begin again (Dhariwal et al. 2020,
    arXiv:2005.00341, section 3.1).
    """

    sums: Tensor
    counts: Tensor
    gathered: Tensor
    filled: Tensor

    def __init__(self, codebooks: int, size: int, width: int, gathered: int = GATHERED) -> None:
        super().__init__(codebooks, size, width)
        self.register_buffer("sums", torch.zeros(codebooks, size, width))
        self.register_buffer("counts", torch.zeros(codebooks, size))
        self.register_buffer("gathered", torch.zeros(gathered, width))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def follow(self, frames: Tensor, real: Tensor, telling: Tensor, step: int) -> Tensor:
        """Give what the codes of (B, T, width) stand for, and move the books towards the frames.

        ``real`` (B, T) marks the frames that count, ``telling`` (B, T) is how likely each says something.
        While there are too few frames to fit the books on, frames are gathered and stand for themselves.
        """
        generator = torch.Generator().manual_seed(step)
        vectors, weight = frames[real], telling[real] + TELLING
        if int(self.filled) < len(self.gathered):
            self._gather(vectors, weight, generator)
            return frames
        left = vectors
        for index, book in enumerate(self.codebooks):
            code = nearest(left, book)
            self._move(index, left, code, weight)
            self._restart(index, left, weight, generator)
            left = left - book[code]
        coded = frames.clone()
        coded[real] = vectors - left
        return coded

    def _gather(self, vectors: Tensor, weight: Tensor, generator: torch.Generator) -> None:
        start = int(self.filled)
        count = min(len(vectors) // 2, len(self.gathered) - start)
        chosen = torch.multinomial(weight, count, generator=generator)
        self.gathered[start : start + count] = vectors[chosen]
        self.filled += count
        if int(self.filled) < len(self.gathered):
            return
        self.fit(self.gathered, generator)
        left = self.gathered
        for index, book in enumerate(self.codebooks):
            code = nearest(left, book)
            self.counts[index] = torch.bincount(code, minlength=len(book)).float().clamp(min=1) / 8
            left = left - book[code]
        self.sums.copy_(self.codebooks * self.counts[..., None])

    def _move(self, index: int, vectors: Tensor, code: Tensor, weight: Tensor) -> None:
        counts, sums = self.counts[index], self.sums[index]
        counts.mul_(KEEP).index_add_(0, code, weight, alpha=1 - KEEP)
        sums.mul_(KEEP).index_add_(0, code, vectors * weight[:, None], alpha=1 - KEEP)
        self.codebooks[index] = sums / counts.clamp(min=1e-6)[:, None]

    def _restart(self, index: int, vectors: Tensor, weight: Tensor, generator: torch.Generator) -> None:
        seldom = torch.nonzero(self.counts[index] < SELDOM * float(self.counts[index].mean())).squeeze(1)
        if not len(seldom):
            return
        chosen = vectors[torch.multinomial(weight, len(seldom), replacement=True, generator=generator)]
        mean = float(self.counts[index].mean())
        self.codebooks[index, seldom] = chosen
        self.counts[index, seldom] = mean / 4
        self.sums[index, seldom] = chosen * mean / 4
