"""Hearing's layers in C: near PyTorch's, whatever the shapes, the past and the threads."""

import pytest
import torch

from assistant.model.native.build import find_compiler
from assistant.model.native.stack import NativeBlockStack, NativeWindowLayers
from assistant.model.native.threads import Threads
from assistant.model.quantized import pack, unpack
from audiocodec.encoder import BlockStack, WindowLayers

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler here")

SHAPES = [(64, 4, 96), (40, 5, 50)]  # width, heads, feed forward; heads of 16, and of 8 in rows not filled


def prepare(net: torch.nn.Module) -> None:
    """Give every linear layer the weights that its int8 form stands for. Norms and biases do nothing in an
    untrained net: give them something to do.
    """
    torch.manual_seed(4)
    for name, parameter in net.named_parameters():
        if "norm" in name or "bias" in name:
            torch.nn.init.normal_(parameter, 0.5, 0.5)
    for layer in net.modules():
        if isinstance(layer, torch.nn.Linear):
            rows, columns = layer.weight.shape
            layer.weight.data = unpack(pack(layer.weight.detach()))[:rows, :columns].contiguous()


def test_a_window_is_seen_as_by_pytorch() -> None:
    for width, heads, feed_forward in SHAPES:
        layers = WindowLayers(3, width, heads, feed_forward)
        prepare(layers)
        native = NativeWindowLayers(Threads(feed_forward, 2), layers)
        x = torch.randn(2, 37, width)
        for given in (slice(None), slice(20, 25)):
            with torch.inference_mode():
                wanted = layers(x, given)
            torch.testing.assert_close(native(x, given), wanted, atol=1e-3, rtol=1e-3)


def test_a_past_is_seen_and_kept_as_by_pytorch() -> None:
    for width, heads, feed_forward in SHAPES:
        stack = BlockStack(2, width, heads, feed_forward, 2, 5)
        prepare(stack)
        native = NativeBlockStack(Threads(feed_forward, 2), stack)
        x = torch.randn(2, 180, width)
        states = stack.initial_state(x, 2), native.initial_state(x, 2)
        for part in torch.split(x, [2, 4, 150, 2, 22], dim=1):
            with torch.inference_mode():
                wanted, own = stack(part, states[0])
            found, kept = native(part, states[1])
            torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(kept, own, atol=1e-3, rtol=1e-3)
            states = own, kept


def test_threads_change_no_bit() -> None:
    layers = WindowLayers(2, 64, 4, 96).eval()
    one, three = (NativeWindowLayers(Threads(96, count), layers) for count in (1, 3))
    for seed in range(20):  # a helper that comes late must find nothing of the last call
        x = torch.randn(1, 50, 64, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(one(x, slice(3, 40)), three(x, slice(3, 40)))


def test_a_window_of_too_many_rows_is_refused() -> None:
    layers = NativeWindowLayers(Threads(96, 1), WindowLayers(1, 64, 4, 96))
    with pytest.raises(ValueError, match="129 rows, at most 128"):
        layers(torch.zeros(1, 129, 64), slice(None))
