"""Small layers that the parts of the mel head share."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class WindowBlock(nn.Module):
    """ConvNeXt block over a short window that is seen whole (a word with its neighbours); not causal."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 1, 1, kernel) * kernel**-0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, hidden)
        self.down = nn.Linear(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (N, L, C) to (N, L, C); positions where ``mask`` (N, L, 1) is 0 count as empty."""
        rows = (x * mask).transpose(1, 2).unsqueeze(2)
        y = functional.conv2d(
            rows, self.weight, self.bias, padding=(0, self.weight.shape[-1] // 2), groups=x.shape[2]
        )
        y = y.squeeze(2).transpose(1, 2)
        out: Tensor = x + self.scale * self.down(functional.silu(self.up(self.norm(y))))
        return out


class TokenState(nn.Module):
    """Reads the transformer: embedding and hidden state of a token, each normalised, to one vector."""

    def __init__(self, model_width: int, width: int) -> None:
        super().__init__()
        self.model_width = model_width
        self.project = nn.Linear(2 * model_width, width)

    def forward(self, states: Tensor) -> Tensor:
        """Map (..., 2 * D) to (..., width)."""
        halves = states.reshape(*states.shape[:-1], 2, self.model_width)
        return cast(Tensor, self.project(functional.layer_norm(halves, (self.model_width,)).flatten(-2)))
