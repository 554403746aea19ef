"""The voice's blocks in C: near PyTorch's, whatever the pieces and the threads."""

from functools import partial

import pytest
import torch
from torch import nn

from assistant.model.native.build import find_compiler
from assistant.model.native.convs import NativeConvStack
from assistant.model.native.linear import exchange, rounded
from assistant.model.native.threads import Threads
from audiocodec.conv import ConvStack

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler here")

WIDEST = 100


def stack() -> ConvStack:
    torch.manual_seed(3)
    made = ConvStack(3, 40, WIDEST, 5).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, 0.0, 0.2)
    return made


def test_frames_and_states_are_those_of_pytorch() -> None:
    native, plain = NativeConvStack(Threads(WIDEST, 2), stack()), stack()
    exchange(plain, ((nn.Linear, partial(rounded, Threads(WIDEST, 1))),))
    x = torch.randn(2, 330, 40)
    states = native.initial_state(2), plain.initial_state(2)
    for part in torch.split(x, [1, 3, 30, 290, 6], dim=1):
        with torch.inference_mode():
            wanted, own = plain(part, states[1])
        found, kept = native(part, states[0])
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
        for one, other in zip(kept, own, strict=True):
            torch.testing.assert_close(one.tail, other.tail, atol=1e-3, rtol=1e-3)
        states = kept, own


def test_neither_pieces_nor_threads_change_a_bit() -> None:
    one, three = (NativeConvStack(Threads(WIDEST, count), stack()) for count in (1, 3))
    x = torch.randn(1, 200, 40)
    whole, _ = one(x, one.initial_state(1))
    for sizes in ([200], [1, 2, 40, 157], [150, 50]):
        state, parts = three.initial_state(1), []
        for part in torch.split(x, sizes, dim=1):
            made, state = three(part, state)
            parts.append(made)
        assert torch.equal(torch.cat(parts, dim=1), whole)


def test_a_state_can_be_used_again() -> None:
    native = NativeConvStack(Threads(WIDEST, 2), stack())
    x = torch.randn(1, 20, 40)
    given = x.clone()
    _, state = native(x, native.initial_state(1))
    assert torch.equal(x, given)
    first, _ = native(x, state)
    again, _ = native(x, state)
    assert torch.equal(first, again)
