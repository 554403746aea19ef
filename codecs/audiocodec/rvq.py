"""Residual codebooks: each one names what the ones before it left over."""

import torch
from torch import Tensor, nn

ITERATIONS = 12  # of k-means; the error changes by less than 1 % after it


class ResidualCodebooks(nn.Module):
    """K codebooks over one space, used one after the other.

    Source: Zeghidour et al. 2021, arXiv:2107.03312 (SoundStream), section III-C; fitted by k-means
    instead of gradients.
    """

    codebooks: Tensor
    scale: Tensor

    def __init__(self, codebooks: int, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("codebooks", torch.zeros(codebooks, size, width))
        self.register_buffer("scale", torch.ones(width))  # what each dimension weighs in distances

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Name (..., width): codes (..., K) int64 and the vectors that they stand for."""
        left, codes = vectors * self.scale, []
        for book in self.codebooks:
            code = nearest(left, book)
            codes.append(code)
            left = left - book[code]
        stacked = torch.stack(codes, dim=-1)
        return stacked, self.decode(stacked)

    def decode(self, codes: Tensor) -> Tensor:
        """Give the vectors (..., width) that codes (..., K) stand for."""
        chosen = [book[codes[..., index]] for index, book in enumerate(self.codebooks)]
        return torch.stack(chosen).sum(dim=0) / self.scale

    @torch.no_grad()
    def fit(self, vectors: Tensor, generator: torch.Generator) -> list[float]:
        """Fit all codebooks to (N, width); gives the part of the variance left over after each."""
        left = vectors * self.scale
        total, errors = (left - left.mean(dim=0)).square().mean(), []
        for index in range(len(self.codebooks)):
            book = k_means(left, self.codebooks.shape[1], generator)
            self.codebooks[index] = book
            left = left - book[nearest(left, book)]
            errors.append(float(left.square().mean() / total))
        return errors


def nearest(vectors: Tensor, book: Tensor, chunk: int = 8_192) -> Tensor:
    """Index of the closest row of (size, width) for each of (..., width)."""
    flat = vectors.reshape(-1, vectors.shape[-1])
    half = torch.linalg.vector_norm(book, dim=-1, keepdim=True).square() / 2
    # This way round, because matrix libraries read a large left factor faster beside a narrow right one.
    best = [(book @ part.T - half).argmax(dim=0) for part in torch.split(flat, chunk)]
    return torch.cat(best).view(vectors.shape[:-1])


def k_means(vectors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Centres (size, width) of (N, width); a centre that loses all its vectors starts again at
    a random one.
    """
    picked = torch.randint(len(vectors), (size,), generator=generator)
    book = vectors[picked].clone()
    for _ in range(ITERATIONS):
        code = nearest(vectors, book)
        sums = torch.zeros_like(book).index_add_(0, code, vectors)
        counts = torch.zeros(size, dtype=book.dtype).index_add_(
            0, code, torch.ones(len(code), dtype=book.dtype)
        )
        again = torch.randint(len(vectors), (size,), generator=generator)
        book = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], vectors[again])
    return book
