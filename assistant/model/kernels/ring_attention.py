"""One decode step's attention over ring and sinks, split over the cache, as two Triton kernels.

The first kernel gives each (session, key head, part of the rows) a program; all query heads of the group
share the keys that it loads. The second puts the parts together. Positions and slots are read from device
memory, so that a captured CUDA graph stays valid while sessions grow.

Source for splitting over the cache: Dao et al. 2023, Flash-Decoding (crfm.stanford.edu, 12 Oct 2023).
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from assistant.model.kv_cache import CacheShape

BLOCK_ROWS = 64  # cache rows per inner step
LEAST_QUERIES = 16  # rows that a matrix unit takes; a smaller group is filled up


@triton.jit  # type: ignore[untyped-decorator] # triton has no types
def _attend_part(  # type: ignore[no-untyped-def] # Triton reads its own types
    q, q_sink, keys, values, slots, positions, part_out, part_max, part_sum,
    slot_stride, head_stride, window, sinks, ring, rows_per_part, scale,
    GROUP: tl.constexpr, QUERIES: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    session, kv_head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kv_heads, parts = tl.num_programs(1), tl.num_programs(2)
    position = tl.load(positions + session)
    base = tl.load(slots + session) * slot_stride + kv_head * head_stride
    query = tl.arange(0, QUERIES)
    channel = tl.arange(0, HEAD_DIM)
    row = tl.arange(0, BLOCK)
    own = ((session * kv_heads + kv_head) * GROUP + query[:, None]) * HEAD_DIM + channel[None, :]
    real = (query < GROUP)[:, None]
    near = tl.load(q + own, mask=real, other=0.0)
    far = tl.load(q_sink + own, mask=real, other=0.0)
    best = tl.full([QUERIES], -1.0e30, tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    mixed = tl.zeros([QUERIES, HEAD_DIM], tl.float32)
    used = tl.minimum(position + 1, sinks + ring)
    start = part * rows_per_part
    stop = tl.minimum(start + rows_per_part, used)
    for first in range(start, stop, BLOCK):
        rows = first + row
        held = tl.where(rows < sinks, rows, position - (position - rows + ring) % ring)
        seen = (rows < stop) & (held <= position) & ((rows < sinks) | (held > position - window))
        at = base + rows[:, None] * HEAD_DIM + channel[None, :]
        k = tl.load(keys + at, mask=(rows < stop)[:, None], other=0.0)
        scores = tl.dot(near, tl.trans(k), input_precision="ieee")
        if first < sinks:
            towards = tl.dot(far, tl.trans(k), input_precision="ieee")
            scores = tl.where((rows < sinks)[None, :], towards, scores)
        scores = tl.where(seen[None, :], scores * scale, -1.0e30)
        new_best = tl.maximum(best, tl.max(scores, axis=1))
        weight = tl.where(seen[None, :], tl.exp(scores - new_best[:, None]), 0.0)
        shrink = tl.exp(best - new_best)
        v = tl.load(values + at, mask=(rows < stop)[:, None], other=0.0)
        mixed = mixed * shrink[:, None] + tl.dot(weight.to(v.dtype), v, input_precision="ieee")
        total = total * shrink + tl.sum(weight, axis=1)
        best = new_best
    place = ((session * kv_heads + kv_head) * parts + part) * GROUP + query
    tl.store(part_max + place, best, mask=query < GROUP)
    tl.store(part_sum + place, total, mask=query < GROUP)
    tl.store(part_out + place[:, None] * HEAD_DIM + channel[None, :], mixed, mask=real)


@triton.jit  # type: ignore[untyped-decorator] # triton has no types
def _join_parts(  # type: ignore[no-untyped-def] # Triton reads its own types
    part_out, part_max, part_sum, out, parts,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    head, member = tl.program_id(0), tl.program_id(1)
    part, channel = tl.arange(0, PARTS), tl.arange(0, HEAD_DIM)
    place = (head * parts + part) * GROUP + member
    best = tl.load(part_max + place, mask=part < parts, other=-1.0e30)
    weight = tl.exp(best - tl.max(best, axis=0))
    total = tl.sum(weight * tl.load(part_sum + place, mask=part < parts, other=0.0), axis=0)
    at = place[:, None] * HEAD_DIM + channel[None, :]
    mixed = tl.load(part_out + at, mask=(part < parts)[:, None], other=0.0)
    joined = tl.sum(weight[:, None] * mixed, axis=0) / total
    tl.store(out + (head * GROUP + member) * HEAD_DIM + channel, joined.to(out.dtype.element_ty))


@dataclass(frozen=True, slots=True)
class RingBuffers:
    """One layer's keys or values of all sessions and where each session stands."""

    keys: Tensor  # (slots, kv_heads, capacity, head_dim), any slot stride
    values: Tensor
    slots: Tensor  # (B,) int64, the slot of each session in the batch
    positions: Tensor  # (B,) int64, of each session's newest row, already written
    shape: CacheShape


def parts_for(sessions: int, kv_heads: int, capacity: int, processors: int) -> int:
    """Choose how many parts of a cache work side by side: enough to fill the GPU, none below two blocks."""
    wanted = max(1, 2 * processors // max(1, sessions * kv_heads))
    return min(wanted, max(1, capacity // (2 * BLOCK_ROWS)))


def ring_attention(q: Tensor, q_sink: Tensor, ring: RingBuffers, parts: int) -> Tensor:
    """Attend one query row per session to its sinks and window.

    Args:
        q: (B, heads, head_dim), turned to its absolute position.
        q_sink: (B, heads, head_dim), turned to ``CacheShape.sink_position``.
        ring: the caches.
        parts: from ``parts_for``.

    Returns:
        (B, heads, head_dim) in q's dtype.
    """
    sessions, heads, head_dim = q.shape
    kv_heads, capacity = ring.keys.shape[1], ring.keys.shape[2]
    group = heads // kv_heads
    queries = max(LEAST_QUERIES, triton.next_power_of_2(group))
    rows_per_part = -(-capacity // (parts * BLOCK_ROWS)) * BLOCK_ROWS
    count = sessions * kv_heads * parts * group
    part_out = torch.empty(count, head_dim, device=q.device, dtype=torch.float32)
    part_max = torch.empty(count, device=q.device, dtype=torch.float32)
    part_sum = torch.empty_like(part_max)
    out = torch.empty_like(q)
    _attend_part[(sessions, kv_heads, parts)](
        q.to(ring.keys.dtype).contiguous(), q_sink.to(ring.keys.dtype).contiguous(), ring.keys, ring.values,
        ring.slots, ring.positions, part_out, part_max, part_sum,
        ring.keys.stride(0), ring.keys.stride(1),
        ring.shape.window, ring.shape.sinks, ring.shape.ring, rows_per_part, head_dim**-0.5,
        GROUP=group, QUERIES=queries, HEAD_DIM=head_dim, BLOCK=BLOCK_ROWS,
    )  # fmt: skip
    _join_parts[(sessions * kv_heads, group)](
        part_out, part_max, part_sum, out, parts,
        GROUP=group, HEAD_DIM=head_dim, PARTS=triton.next_power_of_2(parts),
    )  # fmt: skip
    return out
