"""Hearing's transformer layers with int8 weights on the CPU: one call for all of them.

Block by block they see few rows, so that in PyTorch as much time goes into calling as into computing.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assistant.model.native.structs import (
    MAX_HEAD_DIM,
    MAX_ROWS,
    Stack,
    StackLayer,
    address,
    addresses,
    matrix,
)
from assistant.model.native.threads import Threads
from assistant.model.quantized import pack
from audiocodec.encoder import BlockStack, Layer, WindowLayer, WindowLayers, distance_biases

LOWEST = -1e30  # stands for minus infinity, with which the C part does not reckon


def packed(layer: WindowLayer | Layer) -> tuple[StackLayer, tuple[object, ...]]:
    """Round a layer's matrices to int8: the C side's pointers, and what must outlive them."""
    attention = layer if isinstance(layer, WindowLayer) else layer.attention
    qkv = (attention.query, attention.key, attention.value)
    parts = {"out": attention.out, "up": layer.up, "down": layer.down}
    norms = {"attention": layer.attention_norm, "ffn": layer.feed_forward_norm}
    matrices = {"qkv": pack(torch.cat([part.weight.detach() for part in qkv]))}
    matrices |= {name: pack(part.weight.detach()) for name, part in parts.items()}
    nothing = torch.zeros(attention.key.out_features)
    vectors = {"qkv_bias": torch.cat([nothing if part.bias is None else part.bias for part in qkv])}
    vectors |= {f"{name}_bias": part.bias for name, part in parts.items()}
    vectors |= {f"{name}_norm": part.weight for name, part in norms.items()}
    vectors |= {f"{name}_shift": part.bias for name, part in norms.items()}
    vectors = {name: vector.detach().float().clone() for name, vector in vectors.items()}
    pointers = {name: matrix(value) for name, value in matrices.items()}
    places = {name: address(vector) for name, vector in vectors.items()}
    return StackLayer(**pointers, **places), (matrices, vectors)


class PackedStack:
    """Layers of one shape, run in one call. Not for two threads at once."""

    def __init__(self, threads: Threads, layers: Sequence[WindowLayer | Layer], heads: int) -> None:
        self._threads, self._heads = threads, heads
        found = [packed(layer) for layer in layers]
        self._layers = (StackLayer * len(layers))(*(pointers for pointers, _ in found))
        self._kept = [weights for _, weights in found]
        self._width, self._ffn_width = layers[0].down.out_features, layers[0].up.out_features
        self._eps = layers[0].attention_norm.eps
        if self._width > heads * MAX_HEAD_DIM:
            raise ValueError(f"heads of {self._width // heads}, at most {MAX_HEAD_DIM} are possible")

    def __call__(
        self,
        x: Tensor,
        given: slice,
        past: Sequence[Tensor] | None = None,
        bias: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all layers over rows.

        Args:
            x: (n, width), at most MAX_ROWS.
            given: the rows that come out.
            past: of each layer (2, heads, seen, head width), keys and values that the rows see as well.
            bias: (layers, heads, n, seen + n), added to the scores.

        Returns:
            (rows given, width), and where there is a ``past`` each layer's (2, heads, seen + n, head width).

        Raises:
            ValueError: too many rows.
        """
        if len(x) > MAX_ROWS:
            raise ValueError(f"{len(x)} rows, at most {MAX_ROWS} are possible")
        first, end, _ = given.indices(len(x))
        seen = past[0].shape[2] if past else 0
        x = x.float().contiguous()
        out = torch.empty(end - first, self._width)
        shape = (2, self._heads, seen + len(x), self._width // self._heads)
        memory = [torch.empty(shape) for _ in past or ()]
        earlier = [one.float().contiguous() for one in past or ()]
        biases = [] if bias is None else list(bias.float().contiguous())
        self._threads.stack(
            Stack(
                self._layers,
                *(addresses(part) for part in (earlier, memory, biases)),
                address(x),
                address(out),
                *(len(self._layers), len(x), self._width, self._heads, self._ffn_width),
                *(seen, first, end - first),
                self._eps,
            )
        )
        return out, memory


class NativeWindowLayers(nn.Module):
    """``WindowLayers`` in one call for each window."""

    def __init__(self, threads: Threads, layers: WindowLayers) -> None:
        super().__init__()
        self._stack = PackedStack(threads, [*layers], layers.heads)

    @torch.inference_mode()
    def forward(self, x: Tensor, given: slice) -> Tensor:
        """(N, T, C) in, of which the frames ``given`` come out."""
        return torch.stack([self._stack(window, given)[0] for window in x])


class NativeBlockStack(nn.Module):
    """``BlockStack`` in one call for each stream and few blocks of it."""

    def __init__(self, threads: Threads, stack: BlockStack) -> None:
        super().__init__()
        self.block, self.past = stack.block, stack.past
        self._stack = PackedStack(threads, [*stack.layers], stack.heads)
        self._shape = (len(stack.layers), stack.heads, stack.head_width)
        self._tables = stack.distance_tables().detach().clone()
        self._biases: tuple[tuple[int, int], Tensor] | None = None  # the last ones, mostly the next ones too

    def initial_state(self, like: Tensor, batch: int) -> tuple[Tensor, ...]:
        """No past."""
        layers, heads, head_width = self._shape
        return tuple(like.new_zeros(2, batch, heads, 0, head_width) for _ in range(layers))

    @torch.inference_mode()
    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run all layers over (B, T, C)."""
        given = []
        for part in torch.split(x, MAX_ROWS // self.block * self.block, dim=1):
            biases = self._bias((part.shape[1], state[0].shape[3]))
            streams = [
                self._stack(row, slice(None), [one[:, index] for one in state], biases)
                for index, row in enumerate(part)
            ]
            given.append(torch.stack([out for out, _ in streams]))
            memories = zip(*(memory for _, memory in streams), strict=True)
            state = tuple(torch.stack(one, dim=1)[:, :, :, -self.past :] for one in memories)
        return torch.cat(given, dim=1), state

    def _bias(self, rows: tuple[int, int]) -> Tensor:
        if self._biases is None or self._biases[0] != rows:
            found = distance_biases(self._tables, self.block, self.past, rows)
            self._biases = rows, found.clamp(min=LOWEST)
        return self._biases[1]
