"""Products with int8 weights: near the float ones, and the same bits however rows are cut."""

from functools import partial

import pytest
import torch
from torch import nn

from assistant.model.backbone import Backbone
from assistant.model.checkpoint import leave_cores
from assistant.model.decoder import TorchDecoder
from assistant.model.native.build import find_compiler
from assistant.model.native.decoder import native_decoder
from assistant.model.native.linear import Int8Linear, exchange, rounded
from assistant.model.native.threads import Threads
from assistant.model.quantized import pack, unpack

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler here")

ROWS, WIDTH, OUT = 300, 72, 90  # more than two calls of rows; neither width is a multiple of a block


def values(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def linear() -> Int8Linear:
    return Int8Linear(Threads(WIDTH, 2), values(OUT, WIDTH), values(OUT, seed=2))


def test_it_is_the_product_with_the_rounded_weights(linear: Int8Linear) -> None:
    x = values(ROWS, WIDTH, seed=3)
    rounded = unpack(pack(values(OUT, WIDTH)))[:OUT, :WIDTH]
    expected = nn.functional.linear(x, rounded, values(OUT, seed=2))
    torch.testing.assert_close(linear(x), expected, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(linear(x.view(3, 100, WIDTH)).flatten(0, 1), linear(x), atol=0, rtol=0)


@pytest.mark.parametrize("sizes", [[1] * ROWS, [3, 125, 130, 42], [299, 1]])
def test_a_row_does_not_depend_on_the_others(linear: Int8Linear, sizes: list[int]) -> None:
    x = values(ROWS, WIDTH, seed=3)
    assert torch.equal(torch.cat([linear(part) for part in torch.split(x, sizes)]), linear(x))


@pytest.mark.parametrize("threads", [1, 3])
def test_nor_on_the_number_of_threads(linear: Int8Linear, threads: int) -> None:
    other = Int8Linear(Threads(WIDTH, threads), values(OUT, WIDTH), values(OUT, seed=2))
    x = values(ROWS, WIDTH, seed=3)
    for _ in range(20):  # a helper that comes late must find nothing of the last product
        assert torch.equal(other(x), linear(x))
        x = x.roll(1, 0)


def test_no_rows_and_wrong_rows(linear: Int8Linear) -> None:
    assert linear(torch.zeros(0, WIDTH)).shape == (0, OUT)
    with pytest.raises(ValueError, match=f"got {WIDTH + 1} columns, need {WIDTH}"):
        linear(torch.zeros(1, WIDTH + 1))
    with pytest.raises(ValueError, match="on the CPU, got meta"):
        linear(torch.zeros(1, WIDTH, device="meta"))
    with pytest.raises(ValueError, match="at most 96"):
        Int8Linear(Threads(WIDTH), torch.zeros(8, 97))


def test_all_linear_layers_of_a_module_are_replaced() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 64), nn.GELU(), nn.Sequential(nn.Linear(64, 20, bias=False)))
    x = values(5, 40)
    with torch.inference_mode():
        before = net(x)
    exchange(net, ((nn.Linear, partial(rounded, Threads(64))),))
    assert not [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    torch.testing.assert_close(net(x), before, atol=0.03, rtol=0.03)


def test_pytorch_leaves_the_cores_to_the_c_decoder_alone(tiny: Backbone) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        leave_cores(TorchDecoder(tiny))
        assert torch.get_num_threads() == 2
        leave_cores(native_decoder(tiny))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
