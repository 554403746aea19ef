"""Attention of new rows over a session's ring and sinks, on PyTorch's fused kernel."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from assistant.model.kv_cache import KVCache
from assistant.model.rotary import rotate, rotation


@dataclass(frozen=True, slots=True)
class Span:
    """Everything about the next ``count`` positions of one cache that all layers share."""

    cache: KVCache
    rows: Tensor  # (count,) where they are written
    used: int  # rows of the cache that hold something, these included
    rotary: tuple[Tensor, Tensor]  # of their absolute positions, (count, head_dim)
    sink_rotary: tuple[Tensor, Tensor] | None  # towards the sinks, if it differs
    bias: Tensor | None  # (count, used): 0 where seen, -inf where not; None if all is seen

    @property
    def count(self) -> int:
        """Number of new positions."""
        return self.rows.shape[0]


def plan_span(cache: KVCache, count: int, frequencies: Tensor) -> Span:
    """Work out once per step what every layer needs."""
    shape, start, end = cache.shape, cache.position, cache.position + count
    device = cache.keys.device
    positions = torch.arange(start, end)
    drifted = end > shape.seen
    bias = None
    if count > 1 or drifted:
        held = cache.row_positions(end)
        queries = positions[:, None]
        seen = (held <= queries) & ((held > queries - shape.window) | (held < shape.sinks))
        bias = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf")).to(device, cache.keys.dtype)
    towards_sinks = None
    if drifted and shape.sinks:
        towards_sinks = rotation(positions.clamp(max=shape.seen - 1).to(device), frequencies)
    rotary = rotation(positions.to(device), frequencies)
    return Span(cache, cache.rows(count), min(end, shape.capacity), rotary, towards_sinks, bias)


def attend(span: Span, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Write the new keys and values, then attend.

    Args:
        span: from ``plan_span``; the cache is not advanced here.
        layer: index of the layer.
        q: (heads, count, head_dim), not yet rotated.
        k: (kv_heads, count, head_dim), not yet rotated.
        v: (kv_heads, count, head_dim).

    Returns:
        (heads, count, head_dim).
    """
    cache, dtype = span.cache, q.dtype
    cos, sin = span.rotary
    cache.append(layer, span.rows, rotate(k.float(), cos, sin), v)
    keys, values = cache.keys[layer, :, : span.used], cache.values[layer, :, : span.used]
    kv_heads, head_dim = keys.shape[0], keys.shape[2]
    q = q.float()
    turned = rotate(q, cos, sin)
    grouped = turned.reshape(kv_heads, -1, head_dim)  # query heads of a group and time share one axis
    bias = span.bias
    if bias is not None:
        bias = bias.repeat(grouped.shape[1] // span.count, 1).expand(kv_heads, -1, -1)
        if span.sink_rotary is not None:
            difference = (rotate(q, *span.sink_rotary) - turned).reshape(kv_heads, -1, head_dim)
            bias = _shift_sinks(bias, difference, keys[:, : cache.shape.sinks])
    mixed = functional.scaled_dot_product_attention(
        grouped.to(keys.dtype)[None], keys[None], values[None], attn_mask=None if bias is None else bias[None]
    )
    return mixed[0].reshape(q.shape).to(dtype)


def _shift_sinks(bias: Tensor, difference: Tensor, sinks: Tensor) -> Tensor:
    """Add to the sinks' columns what their scores lack when the query is turned towards them."""
    correction = difference @ sinks.float().transpose(1, 2) * difference.shape[-1] ** -0.5
    bias = bias.clone()
    bias[..., : sinks.shape[1]] += correction.to(bias.dtype)
    return bias
