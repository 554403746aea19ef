"""Speed of the ring attention kernel on a GPU beside PyTorch's own and the memory limit."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from assistant.errors import DependencyError
from assistant.model.kv_cache import CacheShape

SESSIONS = (1, 8, 32)
REPEATS = 100
HEADS, KV_HEADS, HEAD_DIM = 9, 3, 64
WARM_UPS = 10


@dataclass(frozen=True, slots=True)
class KernelSpeed:
    """Mean times of one step of one layer, microseconds."""

    sessions: int
    ring_us: float
    sdpa_us: float
    flex_us: float
    limit_us: float  # reading the visible keys and values once at the measured bandwidth


def measure_kernels(shape: CacheShape) -> list[KernelSpeed]:
    """Measure a full window for several batch sizes, bfloat16.

    Raises:
        DependencyError: there is no CUDA GPU, or triton is missing.
    """
    if not torch.cuda.is_available():
        raise DependencyError("bench kernels needs a CUDA GPU and finds none on this machine")
    bandwidth = _bandwidth()
    return [_measure(sessions, shape, bandwidth) for sessions in SESSIONS]


def _measure(sessions: int, shape: CacheShape, bandwidth: float) -> KernelSpeed:
    try:
        from assistant.model.kernels.ring_attention import RingBuffers, parts_for, ring_attention
    except ImportError as error:
        raise DependencyError("bench kernels needs triton: pip install 'vivavoce[gpu]'") from error
    keys = torch.randn(sessions, KV_HEADS, shape.capacity, HEAD_DIM, device="cuda", dtype=torch.bfloat16)
    values = torch.randn_like(keys)
    q = torch.randn(sessions, HEADS, HEAD_DIM, device="cuda", dtype=torch.bfloat16)
    slots = torch.arange(sessions, device="cuda")
    positions = torch.full((sessions,), 3 * shape.capacity, device="cuda")
    ring = RingBuffers(keys, values, slots, positions, shape)
    processors = torch.cuda.get_device_properties(0).multi_processor_count
    parts = parts_for(sessions, KV_HEADS, shape.capacity, processors)
    seen = shape.seen  # what PyTorch's kernels get is already gathered: the fairest case for them
    k, v = keys[:, :, :seen].contiguous(), values[:, :, :seen].contiguous()
    query = q.unsqueeze(2)
    flex = _flex()
    return KernelSpeed(
        sessions,
        _time(lambda: ring_attention(q, q, ring, parts)),
        _time(lambda: functional.scaled_dot_product_attention(query, k, v, enable_gqa=True)),
        _time(lambda: flex(query, k, v, enable_gqa=True)),
        1e6 * 2 * k.nbytes / bandwidth,
    )


def _flex() -> Callable[..., torch.Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., torch.Tensor] = torch.compile(flex_attention)
    return compiled


def _time(run: Callable[[], object]) -> float:
    """Mean microseconds of the call in a captured graph, so that launching does not count."""
    for _ in range(WARM_UPS):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            run()
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch has no types for it
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch has no types for it
    graph.replay()
    begin.record()
    graph.replay()
    end.record()
    torch.cuda.synchronize()
    return 1e3 * float(begin.elapsed_time(end)) / REPEATS


def _bandwidth() -> float:
    """Bytes per second that a large copy reads and writes."""
    block = torch.empty(1 << 29, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(block)
    return 2 * block.nbytes / (_time(lambda: target.copy_(block)) / 1e6)
