"""Codes that are learned by gradients: a few numbers of a frame, each rounded to one of a few levels.

Nothing has to be fitted and no code falls out of use, which books of vectors that are learned suffer from.
Source: Mentzer et al. 2023, Finite Scalar Quantization, arXiv 2309.15505.
"""

from math import prod

import torch
from torch import Tensor

MARGIN = 1e-3  # by which the outermost levels are within reach


class ScalarCodes:
    """Numbers of so many levels each, spelled as one code."""

    def __init__(self, levels: tuple[int, ...]) -> None:
        self.levels, self.size = levels, prod(levels)

    def bounded(self, numbers: Tensor) -> Tensor:
        """Squeeze free numbers (..., len(levels)) to between the outermost levels of each."""
        levels = torch.tensor(self.levels, dtype=torch.float32, device=numbers.device)
        half = (levels - 1) / 2 * (1 + MARGIN)
        middle = (levels + 1) % 2 / 2  # an even count of levels has one more below zero than above
        return (numbers.float() + (middle / half).atanh()).tanh() * half - middle

    def values(self, numbers: Tensor) -> Tensor:
        """What is left of free numbers, in -1..1; gradients pass the rounding as if it were not there."""
        bounded = self.bounded(numbers)
        return self._scaled(bounded + (bounded.round() - bounded).detach())

    def spell(self, numbers: Tensor) -> Tensor:
        """The code (...) of free numbers, int64."""
        steps = self.bounded(numbers).round().long()
        return self.spelled(steps + torch.tensor([level // 2 for level in self.levels], device=steps.device))

    def spelled(self, steps: Tensor) -> Tensor:
        """The code (...) of whole numbers (..., len(levels)), each below its count of levels."""
        code = torch.zeros_like(steps[..., 0])
        for index, level in enumerate(self.levels):
            code = code * level + steps[..., index]
        return code

    def read(self, code: Tensor) -> Tensor:
        """The values (..., len(levels)) that codes (...) stand for; of what is no code, some."""
        half = torch.tensor([level // 2 for level in self.levels], device=code.device)
        return self._scaled((self.steps(code) - half).float())

    def steps(self, code: Tensor) -> Tensor:
        """The whole numbers (..., len(levels)) that codes (...) spell."""
        steps = []
        for level in reversed(self.levels):
            steps.append(code % level)
            code = code // level
        return torch.stack(steps[::-1], dim=-1)

    def _scaled(self, steps: Tensor) -> Tensor:
        return steps / torch.tensor([level // 2 for level in self.levels], device=steps.device)
