"""The streaming verbs: prefill and decode_step over explicit state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from assistant.model.attention import Span, attend, plan_span
from assistant.model.backbone import Backbone
from assistant.model.block import Attention, Block
from assistant.model.config import ModelConfig
from assistant.model.kv_cache import CacheShape, KVCache
from assistant.model.rotary import inverse_frequencies

PREFILL_ROWS = 256  # at once: enough to fill the matrix units, few enough to keep masks small


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a pass gives."""

    logits: Tensor  # (B, vocabulary) float32, at the last position of each session
    hidden: (
        Tensor | None
    )  # (rows, D) float32, the stream after the layer that was asked for, all new positions


class Decoder(Protocol):
    """A model that streams. It holds weights only; all state is in the caches."""

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""
        ...

    def new_cache(self, shape: CacheShape | None = None) -> KVCache:
        """Make an empty cache that fits this decoder's device and dtype."""
        ...

    def embed(self, tokens: Tensor) -> Tensor:
        """Look up int64 token ids (T,): (T, D) float32."""
        ...

    def prefill(self, cache: KVCache, inputs: Tensor, layer: int | None = None) -> StepOutput:
        """Append inputs to one session and give the logits after the last of them.

        Args:
            cache: advanced in place.
            inputs: (T,) int64 token ids or (T, D) float embeddings, T at least 1. Any way of cutting a
                sequence into calls gives the same result.
            layer: also return the hidden states (T, D) after this many layers (0 is the input itself).

        Raises:
            ValueError: an input is empty, of the wrong shape or out of range, or the layer does not exist.
        """
        ...

    def decode_step(self, caches: Sequence[KVCache], inputs: Tensor, layer: int | None = None) -> StepOutput:
        """Append one input to each of several sessions, as one batch.

        Args:
            caches: B different sessions of any lengths; advanced in place.
            inputs: (B,) int64 token ids or (B, D) float embeddings.
            layer: also return the hidden states (B, D) after this many layers.

        Raises:
            ValueError: as ``prefill``, or the numbers of caches and inputs differ.
        """
        ...


def check_inputs(config: ModelConfig, inputs: Tensor, layer: int | None) -> None:
    """Raise ValueError unless inputs are ids or embeddings and the layer exists."""
    if inputs.numel() == 0:
        raise ValueError("no inputs: give at least one token or embedding")
    if inputs.is_floating_point():
        if inputs.dim() != 2 or inputs.shape[1] != config.width:
            raise ValueError(f"embeddings are {tuple(inputs.shape)}, must be (T, {config.width})")
    elif inputs.dim() != 1 or inputs.dtype != torch.int64:
        raise ValueError(f"token ids are {tuple(inputs.shape)} {inputs.dtype}, must be (T,) int64")
    elif int(inputs.min()) < 0 or int(inputs.max()) >= config.vocabulary:
        raise ValueError(f"token ids must be 0..{config.vocabulary - 1}")
    if layer is not None and not 0 <= layer <= config.layers:
        raise ValueError(f"layer is {layer}, must be 0..{config.layers}")


class TorchDecoder:
    """Streams a Backbone as it is, in its dtype and on its device; the reference for the fast ones."""

    def __init__(self, model: Backbone) -> None:
        self.model = model
        device = model.norm.weight.device
        self._frequencies = inverse_frequencies(model.config.head_dim, model.config.rope_base).to(device)

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""
        return self.model.config

    def new_cache(self, shape: CacheShape | None = None) -> KVCache:
        """See ``Decoder.new_cache``."""
        weight = self.model.norm.weight
        return KVCache(self.config, shape, weight.dtype, weight.device)

    @torch.inference_mode()
    def embed(self, tokens: Tensor) -> Tensor:
        """See ``Decoder.embed``."""
        return self.model.embed(tokens).float()

    @torch.inference_mode()
    def prefill(self, cache: KVCache, inputs: Tensor, layer: int | None = None) -> StepOutput:
        """See ``Decoder.prefill``."""
        check_inputs(self.config, inputs, layer)
        pieces = [
            self._run([cache], piece, len(piece), layer)
            for piece in torch.split(inputs, min(PREFILL_ROWS, cache.shape.rewind + 1))
        ]
        hidden = (
            None
            if layer is None
            else torch.cat([piece.hidden for piece in pieces if piece.hidden is not None])
        )
        return StepOutput(pieces[-1].logits, hidden)

    @torch.inference_mode()
    def decode_step(self, caches: Sequence[KVCache], inputs: Tensor, layer: int | None = None) -> StepOutput:
        """See ``Decoder.decode_step``."""
        check_inputs(self.config, inputs, layer)
        if len(caches) != len(inputs) or len({id(cache) for cache in caches}) != len(caches):
            raise ValueError(f"{len(caches)} caches for {len(inputs)} inputs; each needs its own")
        return self._run(caches, inputs, 1, layer)

    def _run(self, caches: Sequence[KVCache], inputs: Tensor, count: int, layer: int | None) -> StepOutput:
        dtype = self.model.norm.weight.dtype
        x = inputs.to(dtype) if inputs.is_floating_point() else self.model.embed(inputs)
        spans = [plan_span(cache, count, self._frequencies) for cache in caches]
        hidden = x if layer == 0 else None
        for index, block in enumerate(self.model.blocks):
            assert isinstance(block, Block)
            x = x + cached_attention(block.attention, block.attention_norm(x), spans, index)
            x = x + block.ffn(block.ffn_norm(x))
            if index + 1 == layer:
                hidden = x
        for cache in caches:
            cache.advance(count)
        logits = self.model.logits(self.model.norm(x[count - 1 :: count])).float()
        return StepOutput(logits, None if hidden is None else hidden.float())


def cached_attention(attention: Attention, x: Tensor, spans: Sequence[Span], layer: int) -> Tensor:
    """Run one layer's attention for the rows (sessions x count, D) of several sessions."""
    rows = x.shape[0]
    q = attention.q_norm(attention.q(x).view(rows, attention.heads, attention.head_dim)).transpose(0, 1)
    k = attention.k_norm(attention.k(x).view(rows, attention.kv_heads, attention.head_dim)).transpose(0, 1)
    v = attention.v(x).view(rows, attention.kv_heads, attention.head_dim).transpose(0, 1)
    mixed, start = [], 0
    for span in spans:
        own = slice(start, start + span.count)
        mixed.append(attend(span, layer, q[:, own], k[:, own], v[:, own]))
        start = own.stop
    out: Tensor = attention.o(torch.cat(mixed, dim=1).transpose(0, 1).reshape(rows, -1))
    return out
