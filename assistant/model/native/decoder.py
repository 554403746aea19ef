"""Streams int8 weights through the C decoder; same interface as every decoder."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from assistant.model.backbone import Backbone
from assistant.model.config import ModelConfig
from assistant.model.decoder import StepOutput, check_inputs
from assistant.model.kv_cache import CacheShape, KVCache
from assistant.model.native.structs import (
    MAX_GROUP_HEADS,
    MAX_HEAD_DIM,
    MAX_ROWS,
    Session,
    Step,
    address,
    describe,
)
from assistant.model.native.threads import Threads
from assistant.model.quantized import QuantizedModel, quantize
from assistant.model.rotary import inverse_frequencies, rotation


class NativeDecoder:
    """Int8 weights on the CPU. One call runs one step at a time: not for two threads at once.

    Prefill, single steps and batches go through the same exact integer arithmetic, so that a row's result
    is the same to the last bit however the rows are cut into calls.

    Raises:
        DependencyError: there is no compiler to build the C part with.
        ValueError: the model's heads are larger than the C part allows.
    """

    def __init__(self, model: QuantizedModel, threads: int | None = None) -> None:
        config = model.config
        if config.head_dim > MAX_HEAD_DIM or config.group > MAX_GROUP_HEADS:
            raise ValueError(f"heads of {config.head_dim} in groups of {config.group} are too large")
        self.model = model
        self._c_model = describe(model)
        self._frequencies = inverse_frequencies(config.head_dim, config.rope_base)
        widest = max(m.columns for m in (model.head, model.layers[0].o, model.layers[0].down))
        self._threads = Threads(widest, threads)

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""
        return self.model.config

    def new_cache(self, shape: CacheShape | None = None) -> KVCache:
        """See ``Decoder.new_cache``."""
        cache = KVCache(self.config, shape)
        if cache.shape.sinks > MAX_ROWS:
            raise ValueError(f"{cache.shape.sinks} sinks, at most {MAX_ROWS} are possible")
        return cache

    @torch.inference_mode()
    def embed(self, tokens: Tensor) -> Tensor:
        """See ``Decoder.embed``."""
        return self.model.embedding[tokens].float()

    @torch.inference_mode()
    def prefill(self, cache: KVCache, inputs: Tensor, layer: int | None = None) -> StepOutput:
        """See ``Decoder.prefill``."""
        check_inputs(self.config, inputs, layer)
        x = self._embeddings(inputs)
        hidden = None if layer is None else torch.empty_like(x)
        logits = torch.empty(1, self.config.vocabulary)
        size = min(MAX_ROWS, cache.shape.rewind + 1)
        for start in range(0, len(x), size):
            part = slice(start, min(start + size, len(x)))
            last = part.stop == len(x)
            keep = None if hidden is None else hidden[part]
            self._run([cache], x[part], layer, keep, logits if last else None)
        return StepOutput(logits, hidden)

    @torch.inference_mode()
    def decode_step(self, caches: Sequence[KVCache], inputs: Tensor, layer: int | None = None) -> StepOutput:
        """See ``Decoder.decode_step``."""
        check_inputs(self.config, inputs, layer)
        if len(caches) != len(inputs) or len({id(cache) for cache in caches}) != len(caches):
            raise ValueError(f"{len(caches)} caches for {len(inputs)} inputs; each needs its own")
        x = self._embeddings(inputs)
        hidden = None if layer is None else torch.empty_like(x)
        logits = torch.empty(len(x), self.config.vocabulary)
        for start in range(0, len(x), MAX_ROWS):
            part = slice(start, start + MAX_ROWS)
            self._run(caches[part], x[part], layer, None if hidden is None else hidden[part], logits[part])
        return StepOutput(logits, hidden)

    def _embeddings(self, inputs: Tensor) -> Tensor:
        """Give fresh float32 rows, which the C part overwrites."""
        if inputs.is_floating_point():
            return inputs.to("cpu", torch.float32, copy=True).contiguous()
        return self.embed(inputs)

    def _run(
        self,
        caches: Sequence[KVCache],
        x: Tensor,
        layer: int | None,
        hidden: Tensor | None,
        logits: Tensor | None,
    ) -> None:
        count = len(x) // len(caches)
        sessions = (Session * len(caches))(*(self._session(cache, count) for cache in caches))
        rotary = self._rotary(caches, count)
        step = Step(
            ctypes.pointer(self._c_model),
            sessions,
            len(caches),
            len(x),
            x.data_ptr(),
            rotary.data_ptr(),
            -1 if layer is None else layer,
            address(hidden),
            address(logits),
        )
        self._threads.step(step)
        for cache in caches:
            cache.advance(count)

    def _session(self, cache: KVCache, count: int) -> Session:
        keys, values, shape = cache.keys.data_ptr(), cache.values.data_ptr(), cache.shape
        return Session(keys, values, cache.position, count, shape.sinks, shape.window, shape.ring)

    def _rotary(self, caches: Sequence[KVCache], count: int) -> Tensor:
        """Give (rows, 4, head_dim): cosine and sine of each row, then those towards the sinks."""
        starts = [
            position
            for cache in caches
            for own in range(cache.position, cache.position + count)
            for position in (own, cache.shape.sink_position(own))
        ]
        cos, sin = rotation(torch.tensor(starts), self._frequencies)
        return torch.stack([cos, sin], dim=1).contiguous()


def native_decoder(model: Backbone) -> NativeDecoder:
    """Round a Backbone to int8 and stream it."""
    return NativeDecoder(quantize(model))
