"""Numbers rounded to levels: every code can be had and read, and gradients pass."""

import pytest
import torch

from audiocodec.scalar_codes import ScalarCodes
from audiocodec.sound_codes import BOOK, SPARE


@pytest.mark.parametrize("levels", [(8, 8, 8, 4), (5, 3), (2, 7, 4)])
def test_every_code_is_reached_and_stands_for_one_value(levels: tuple[int, ...]) -> None:
    codes = ScalarCodes(levels)
    steps = torch.cartesian_prod(*(torch.arange(level) - level // 2 for level in levels)).float()
    halves = torch.tensor([(level - 1) / 2 * 1.001 for level in levels])
    middle = torch.tensor([(level + 1) % 2 / 2 for level in levels])
    numbers = ((steps + middle) / halves).atanh() - (middle / halves).atanh()
    spelled = codes.spell(numbers)
    assert sorted(spelled.tolist()) == list(range(codes.size))
    torch.testing.assert_close(codes.read(spelled), codes.values(numbers))
    assert codes.values(numbers).abs().max() <= 1


def test_whatever_comes_is_a_code() -> None:
    far = torch.tensor([[1e6, -1e6, 0.0, 1e6], [-1e6, 1e6, -1e6, -1e6]])
    spelled = BOOK.spell(far)
    assert int(spelled.min()) >= 0
    assert int(spelled.max()) < BOOK.size == 2_048
    assert SPARE.read(torch.tensor([SPARE.size + 3])).isfinite().all()


def test_gradients_pass_the_rounding() -> None:
    numbers = torch.zeros(4, requires_grad=True)
    torch.autograd.backward(BOOK.values(numbers).sum())
    assert numbers.grad is not None
    assert (numbers.grad > 0).all()
