"""The voice's convolution blocks with int8 weights on the CPU: one call for a stack of them.

A word is a few dozen frames, so that in PyTorch half of the time goes into calling.
"""

import torch
from torch import Tensor, nn

from assistant.model.native.structs import MAX_ROWS, ConvLayer, Convs, address, addresses, matrix
from assistant.model.native.threads import Threads
from assistant.model.quantized import pack
from audiocodec.conv import ConvBlock, ConvStack, ConvState


def packed(block: ConvBlock) -> tuple[ConvLayer, tuple[object, ...]]:
    """Round a block's matrices to int8: the C side's pointers, and what must outlive them."""
    matrices = {name: pack(part.weight.detach()) for name, part in (("up", block.up), ("down", block.down))}
    vectors = {
        "up_bias": block.up.bias,
        "down_bias": block.down.bias,
        "conv": block.conv.weight.flatten(1).t(),
        "conv_bias": block.conv.bias,
        "norm": block.norm.weight,
        "shift": block.norm.bias,
        "scale": block.scale,
    }
    kept = {name: vector.detach().float().contiguous().clone() for name, vector in vectors.items()}
    pointers = {name: matrix(value) for name, value in matrices.items()}
    return ConvLayer(**pointers, **{name: address(one) for name, one in kept.items()}), (matrices, kept)


class NativeConvStack(nn.Module):
    """``ConvStack`` in one call for each stream. Not for two threads at once."""

    def __init__(self, threads: Threads, stack: ConvStack) -> None:
        super().__init__()
        blocks = [block for block in stack.blocks if isinstance(block, ConvBlock)]
        found = [packed(block) for block in blocks]
        self._threads = threads
        self._layers = (ConvLayer * len(found))(*(pointers for pointers, _ in found))
        self._kept = [weights for _, weights in found]
        self._shape = (blocks[0].conv.channels, blocks[0].up.out_features, blocks[0].conv.kernel)
        self._eps = blocks[0].norm.eps

    def initial_state(self, batch: int) -> tuple[ConvState, ...]:
        """One state per block."""
        width, _, kernel = self._shape
        return tuple(ConvState(torch.zeros(batch, kernel - 1, width)) for _ in self._layers)

    @torch.inference_mode()
    def forward(self, x: Tensor, state: tuple[ConvState, ...]) -> tuple[Tensor, tuple[ConvState, ...]]:
        """Map (B, T, C) to (B, T, C) and return the states for the next call."""
        streams = []
        for index, row in enumerate(x):
            tails, parts = [one.tail[index].float().contiguous() for one in state], []
            for part in torch.split(row, MAX_ROWS):
                out, tails = self._run(part, tails)
                parts.append(out)
            streams.append((torch.cat(parts) if len(parts) > 1 else parts[0], tails))
        after = zip(*(tails for _, tails in streams), strict=True)
        return torch.stack([out for out, _ in streams]), tuple(ConvState(torch.stack(one)) for one in after)

    def _run(self, x: Tensor, tails: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """A stream's frames (n, C), at most MAX_ROWS, behind each block's last ones (kernel - 1, C)."""
        out = x.to(torch.float32, copy=True).contiguous()
        kept = [torch.empty_like(tail) for tail in tails]
        pointers = (addresses(tails), addresses(kept), address(out))
        self._threads.convs(
            Convs(self._layers, *pointers, len(self._layers), len(out), *self._shape, self._eps)
        )
        return out, kept
