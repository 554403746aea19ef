"""Streams SEANet encoders and decoders whose published code only runs whole recordings.

EnCodec's and Mimi's nets are sequences of causal convolutions, transposed convolutions, residual blocks and
LSTMs. A walk visits them in their order with one piece of state each, so that any number of frames at a time
gives what the whole gives. Nothing is stored in the modules.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Piece = tuple[Tensor, ...]  # state of one module; empty before the first frame


@dataclass(frozen=True, slots=True)
class WalkState:
    """State of all modules of a net, in the order in which they are visited. A value: each
    step gives a new one.
    """

    pieces: tuple[Piece, ...] = ()


class _Walk:
    def __init__(self, state: WalkState) -> None:
        self.before: Iterator[Piece] = iter(state.pieces)
        self.after: list[Piece] = []

    def take(self) -> Piece:
        return next(self.before, ())


def stream(layers: Iterable[nn.Module], x: Tensor, state: WalkState) -> tuple[Tensor, WalkState]:
    """Run layers over the next frames (B, C, T) of a stream; T must be a multiple of every stride to come.

    Raises:
        ValueError: a module is of a kind that is unknown, or not causal.
    """
    walk = _Walk(state)
    for layer in layers:
        x = _visit(layer, x, walk)
    return x, WalkState(tuple(walk.after))


def _visit(layer: Any, x: Tensor, walk: _Walk) -> Tensor:
    kind = type(layer).__name__
    if kind in ("SEANetResnetBlock", "MimiResnetBlock"):
        inner = x
        for part in layer.block:
            inner = _visit(part, inner, walk)
        return _visit(layer.shortcut, x, walk) + inner
    if kind in ("SConv1d", "MimiConv1d"):
        return _convolve(layer, x, walk)
    if kind in ("SConvTranspose1d", "MimiConvTranspose1d"):
        return _upsample(layer, x, walk)
    if kind == "SLSTM":
        return _recur(layer, x, walk)
    if isinstance(layer, (nn.ELU, nn.Identity)):
        out: Tensor = layer(x)
        return out
    raise ValueError(f"{kind} cannot be streamed")


def _inner(layer: Any, kind: type[nn.Module]) -> Any:
    return next(module for module in layer.modules() if isinstance(module, kind))


def _convolve(layer: Any, x: Tensor, walk: _Walk) -> Tensor:
    if not layer.causal:
        raise ValueError("only causal convolutions can be streamed")
    conv = _inner(layer, nn.Conv1d)
    past = (conv.kernel_size[0] - 1) * conv.dilation[0] - (conv.stride[0] - 1)
    before = walk.take()
    tail = before[0] if before else _first(x, past, layer.pad_mode)
    joined = torch.cat([tail, x], dim=-1)
    walk.after.append((joined[..., joined.shape[-1] - past :],))
    out: Tensor = conv(joined)
    return out


def _first(x: Tensor, past: int, mode: str) -> Tensor:
    if mode == "reflect":
        return functional.pad(x, (0, max(0, past + 1 - x.shape[-1])))[..., 1 : past + 1].flip(-1)
    if mode == "replicate":
        return x[..., :1].expand(*x.shape[:-1], past)
    return x.new_zeros(*x.shape[:-1], past)


def _upsample(layer: Any, x: Tensor, walk: _Walk) -> Tensor:
    conv = _inner(layer, nn.ConvTranspose1d)
    overlap = conv.kernel_size[0] - conv.stride[0]
    raw = functional.conv_transpose1d(x, conv.weight, None, conv.stride, groups=conv.groups)
    before = walk.take()
    if before:
        raw = torch.cat([raw[..., :overlap] + before[0], raw[..., overlap:]], dim=-1)
    length = x.shape[-1] * conv.stride[0]
    walk.after.append((raw[..., length:],))
    out: Tensor = raw[..., :length]
    return out if conv.bias is None else out + conv.bias[:, None]


def _recur(layer: Any, x: Tensor, walk: _Walk) -> Tensor:
    before = walk.take()
    steps = x.permute(2, 0, 1)
    y, (hidden, cell) = layer.lstm(steps, (before[0], before[1]) if before else None)
    walk.after.append((hidden, cell))
    out: Tensor = (y + steps if layer.skip else y).permute(1, 2, 0)
    return out
