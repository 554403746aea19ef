"""The decoder as a plain differentiable module: what training uses and what the fast paths are built from."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from assistant.model.block import Block, RMSNorm
from assistant.model.config import ModelConfig
from assistant.model.rotary import inverse_frequencies, rotation


@dataclass(frozen=True, slots=True)
class HiddenStates:
    """What a whole-sequence pass gives."""

    last: Tensor  # (B, T, D), after the final norm: what the output matrix reads
    layer: Tensor | None  # (B, T, D), the stream after the layer that was asked for


class Backbone(nn.Module):
    """Llama-family decoder over whole sequences, without a cache; differentiable.

    Every projection is a named ``nn.Linear`` (``blocks.3.attention.q``), so that adapters can replace it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)

    def embed(self, tokens: Tensor) -> Tensor:
        """Look up (B, T) int64 token ids: (B, T, D)."""
        out: Tensor = self.embedding(tokens)
        return out

    def forward(
        self,
        embeddings: Tensor,
        positions: Tensor | None = None,
        keep: Tensor | None = None,
        layer: int | None = None,
    ) -> HiddenStates:
        """Run whole sequences, causally.

        Args:
            embeddings: (B, T, D) float.
            positions: (B, T) or (T,) int64; None counts from 0. Only differences matter.
            keep: (B, T) bool, False where the batch is padded (either side); such rows give meaningless
                output and are seen by no other row. None means nothing is padded.
            layer: also return the stream after this many layers (0 is the input itself).

        Raises:
            ValueError: a shape does not fit or the layer does not exist.
        """
        batch, time = embeddings.shape[:2]
        if embeddings.dim() != 3 or embeddings.shape[2] != self.config.width:
            raise ValueError(f"embeddings are {tuple(embeddings.shape)}, must be (B, T, {self.config.width})")
        if layer is not None and not 0 <= layer <= self.config.layers:
            raise ValueError(f"layer is {layer}, must be 0..{self.config.layers}")
        rotary = self._rotary(positions, time, embeddings)
        bias = None if keep is None else padding_bias(keep, embeddings.dtype)
        x, wanted = embeddings, embeddings if layer == 0 else None
        for index, block in enumerate(self.blocks, start=1):
            x = block(x, rotary, bias)
            if index == layer:
                wanted = x
        return HiddenStates(self.norm(x), wanted)

    def logits(self, hidden: Tensor) -> Tensor:
        """Turn hidden states (..., D) after the final norm into (..., vocabulary) scores."""
        weight = self.embedding.weight if self.head is None else self.head.weight
        return functional.linear(hidden, weight)

    def _rotary(self, positions: Tensor | None, time: int, like: Tensor) -> tuple[Tensor, Tensor]:
        if positions is None:
            positions = torch.arange(time, device=like.device)
        frequencies = inverse_frequencies(self.config.head_dim, self.config.rope_base).to(like.device)
        cos, sin = rotation(positions, frequencies)
        if positions.dim() == 2:  # a head axis between batch and time
            cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        return cos.to(like.dtype), sin.to(like.dtype)


def padding_bias(keep: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a (B, T) mask of real rows into a causal (B, 1, T, T) bias.

    Every row sees at least itself, so that the softmax of a padded row stays finite.
    """
    time = keep.shape[1]
    causal = torch.ones(time, time, dtype=torch.bool, device=keep.device).tril()
    visible = (causal & keep[:, None, :]) | torch.eye(time, dtype=torch.bool, device=keep.device)
    bias = torch.zeros(visible.shape, dtype=dtype, device=keep.device)
    return bias.masked_fill(~visible, float("-inf")).unsqueeze(1)
