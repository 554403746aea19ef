"""Rotary position embedding in the half-split layout (pair i is channels i and i + head_dim / 2).

Angles are computed in float64, so that positions far beyond any training context keep float32 accuracy: what
attention sees is the difference of two positions, and that stays exact.

Source: Su et al. 2021, arXiv 2104.09864, section 3.2.2.
"""

import torch
from torch import Tensor


def inverse_frequencies(head_dim: int, base: float) -> Tensor:
    """Give the head_dim / 2 angular speeds, radians per position, float64."""
    return base ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)


def rotation(positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Give cosine and signed sine, each (..., head_dim) float32, for integer ``positions`` (...).

    The sine's first half is negated, which is what ``rotate`` expects.
    """
    angles = positions.to(torch.float64).unsqueeze(-1) * frequencies
    cos, sin = angles.cos().float(), angles.sin().float()
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the channel pairs of x (..., head_dim) by angles given by ``rotation`` (broadcast)."""
    half = x.shape[-1] // 2
    return x * cos + x.roll(half, dims=-1) * sin
