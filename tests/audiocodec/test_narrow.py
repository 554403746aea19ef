"""The product the other way round is the same product."""

import pytest
import torch

from audiocodec.narrow import NARROW, NarrowLinear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 2, 12), (NARROW, 12), (NARROW + 1, 12), (12,), (0, 12)])
def test_it_gives_what_the_common_layer_gives(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = NarrowLinear(12, 20, bias=bias), torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


def test_gradients_take_the_common_way() -> None:
    layer = NarrowLinear(12, 20)
    layer(torch.randn(2, 12)).sum().backward()
    assert layer.weight.grad is not None
