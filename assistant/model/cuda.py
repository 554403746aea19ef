"""Streams a Backbone on a GPU: a step is one captured graph per batch size, its attention a Triton kernel.

A graph replays the same addresses, so caches live in a pool of slots, and everything that changes from step
to step (inputs, slots, positions) is copied into fixed tensors before the replay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assistant.model.backbone import Backbone
from assistant.model.block import Attention, Block
from assistant.model.config import ModelConfig
from assistant.model.decoder import StepOutput, TorchDecoder, check_inputs
from assistant.model.kernels.ring_attention import RingBuffers, parts_for, ring_attention
from assistant.model.kv_cache import CacheShape, KVCache, SlotPool
from assistant.model.rotary import inverse_frequencies, rotate, rotation

DEFAULT_SLOTS = 16
WARM_UPS = 3  # runs before capture, so that kernels are compiled and buffers allocated


@dataclass(frozen=True, slots=True)
class _Graph:
    """A captured step and the fixed tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    x: Tensor
    slots: Tensor
    positions: Tensor
    output: StepOutput


class CudaDecoder:
    """Same interface as every decoder. Caches of the shape chosen here take slots of a pool, which captured
    steps reach; those of another shape are served by plain kernels.

    Raises:
        SessionFull: from ``new_cache`` or ``fork``, when every slot is taken.
    """

    def __init__(self, model: Backbone, shape: CacheShape | None = None, slots: int = DEFAULT_SLOTS) -> None:
        self.model, self._plain = model, TorchDecoder(model)
        weight = model.norm.weight
        self._pool = SlotPool(model.config, shape or CacheShape(), slots, weight)
        self._frequencies = inverse_frequencies(model.config.head_dim, model.config.rope_base).to(
            weight.device
        )
        self._captures = weight.device.type == "cuda"
        device = torch.cuda.get_device_properties(weight.device) if self._captures else None
        self._processors = device.multi_processor_count if device else 1
        self._graphs: dict[tuple[int, int | None], _Graph] = {}

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""
        return self.model.config

    def new_cache(self, shape: CacheShape | None = None) -> KVCache:
        """See ``Decoder.new_cache``."""
        if shape in (None, self._pool.shape):
            return KVCache(self.config, pool=self._pool)
        return self._plain.new_cache(shape)

    def embed(self, tokens: Tensor) -> Tensor:
        """See ``Decoder.embed``."""
        return self._plain.embed(tokens.to(self._pool.keys.device))

    def prefill(self, cache: KVCache, inputs: Tensor, layer: int | None = None) -> StepOutput:
        """See ``Decoder.prefill``."""
        return self._plain.prefill(cache, inputs.to(self._pool.keys.device), layer)

    @torch.inference_mode()
    def decode_step(self, caches: Sequence[KVCache], inputs: Tensor, layer: int | None = None) -> StepOutput:
        """See ``Decoder.decode_step``."""
        check_inputs(self.config, inputs, layer)
        if caches and all(cache.pool is None for cache in caches):
            return self._plain.decode_step(caches, inputs.to(self._pool.keys.device), layer)
        slots = [cache.slot for cache in caches if cache.pool is self._pool and cache.slot is not None]
        if not len(slots) == len(caches) == len(inputs) == len(set(slots)):
            raise ValueError(f"{len(caches)} caches for {len(inputs)} inputs; each needs its own, made here")
        device = self._pool.keys.device
        inputs = inputs.to(device)
        x = inputs if inputs.is_floating_point() else self.model.embed(inputs)
        x = x.to(self._pool.keys.dtype)
        positions = torch.tensor([cache.position for cache in caches], device=device)
        places = torch.tensor(slots, device=device)
        if self._captures:
            output = self._replay(x, places, positions, layer)
        else:
            output = self._step(x, places, positions, layer)
        for cache in caches:
            cache.advance(1)
        return output

    def _replay(self, x: Tensor, slots: Tensor, positions: Tensor, layer: int | None) -> StepOutput:
        key = (len(x), layer)
        if key not in self._graphs:
            self._graphs[key] = self._capture(x, slots, positions, layer)
        held = self._graphs[key]
        held.x.copy_(x)
        held.slots.copy_(slots)
        held.positions.copy_(positions)
        held.graph.replay()
        hidden = held.output.hidden
        return StepOutput(held.output.logits.clone(), None if hidden is None else hidden.clone())

    def _capture(self, x: Tensor, slots: Tensor, positions: Tensor, layer: int | None) -> _Graph:
        x, slots, positions = x.clone(), slots.clone(), positions.clone()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch has no types for it
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._step(x, slots, positions, layer)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = self._step(x, slots, positions, layer)
        return _Graph(graph, x, slots, positions, output)

    def _step(self, x: Tensor, slots: Tensor, positions: Tensor, layer: int | None) -> StepOutput:
        """Run one step on tensors only: no value is read back, so that it can be captured."""
        shape = self._pool.shape
        ring_rows = shape.sinks + (positions - shape.sinks) % shape.ring
        rows = torch.where(positions < shape.sinks, positions, ring_rows)
        own = _with_heads(rotation(positions, self._frequencies))
        towards_sinks = _with_heads(rotation(positions.clamp(max=shape.seen - 1), self._frequencies))
        parts = parts_for(len(x), self.config.kv_heads, shape.capacity, self._processors)
        hidden = x if layer == 0 else None
        for index, block in enumerate(self.model.blocks):
            assert isinstance(block, Block)
            attention, y = block.attention, block.attention_norm(x)
            q, k, v = _project(attention, y)
            self._pool.keys[slots, index, :, rows] = rotate(k.float(), *own).to(self._pool.keys.dtype)
            self._pool.values[slots, index, :, rows] = v.to(self._pool.values.dtype)
            ring = RingBuffers(
                self._pool.keys[:, index], self._pool.values[:, index], slots, positions, shape
            )
            q = q.float()
            mixed = ring_attention(rotate(q, *own), rotate(q, *towards_sinks), ring, parts)
            x = x + attention.o(mixed.to(x.dtype).reshape(len(x), -1))
            x = x + block.ffn(block.ffn_norm(x))
            if index + 1 == layer:
                hidden = x
        logits = self.model.logits(self.model.norm(x)).float()
        return StepOutput(logits, None if hidden is None else hidden.float())


def _project(attention: Attention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give q (B, heads, head_dim), k and v (B, kv_heads, head_dim), normalised where the model does so."""
    q = attention.q_norm(attention.q(x).view(len(x), attention.heads, attention.head_dim))
    k = attention.k_norm(attention.k(x).view(len(x), attention.kv_heads, attention.head_dim))
    return q, k, attention.v(x).view(len(x), attention.kv_heads, attention.head_dim)


def _with_heads(rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Add an axis for the heads."""
    return rotary[0].unsqueeze(1), rotary[1].unsqueeze(1)
