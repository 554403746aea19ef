"""One decoder layer, and the modules that hold its weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from assistant.model.config import ModelConfig
from assistant.model.rotary import rotate


class RMSNorm(nn.Module):
    """Scale each vector to unit mean square, computed in float32 whatever comes in.

    Source: Zhang and Sennrich 2019, arXiv 1910.07467, equation 4.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to the same shape and dtype."""
        return functional.rms_norm(x.float(), x.shape[-1:], self.weight.float(), self.eps).to(x.dtype)


class Attention(nn.Module):
    """Projections of grouped-query attention; how keys are kept is the caller's choice."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        bias = config.qkv_bias
        self.q = nn.Linear(config.width, config.query_width, bias=bias)
        self.k = nn.Linear(config.width, config.kv_width, bias=bias)
        self.v = nn.Linear(config.width, config.kv_width, bias=bias)
        self.o = nn.Linear(config.query_width, config.width, bias=False)
        self.q_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
        """Attend within x (B, T, D); ``bias`` (B or 1, 1, T, T) is added to the scores, None means causal."""
        batch, time, _ = x.shape
        q = self.q_norm(self.q(x).view(batch, time, self.heads, self.head_dim)).transpose(1, 2)
        k = self.k_norm(self.k(x).view(batch, time, self.kv_heads, self.head_dim)).transpose(1, 2)
        v = self.v(x).view(batch, time, self.kv_heads, self.head_dim).transpose(1, 2)
        cos, sin = rotary
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=bias, is_causal=bias is None, enable_gqa=self.heads != self.kv_heads
        )
        out: Tensor = self.o(mixed.transpose(1, 2).reshape(batch, time, -1))
        return out


class FeedForward(nn.Module):
    """SwiGLU. Source: Shazeer 2020, arXiv 2002.05202, equation 6."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.ffn_width, bias=False)
        self.up = nn.Linear(config.width, config.ffn_width, bias=False)
        self.down = nn.Linear(config.ffn_width, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        out: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return out


class Block(nn.Module):
    """Pre-norm decoder layer: attention, then feed-forward, each added to the stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = RMSNorm(config.width, config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        x = x + self.attention(self.attention_norm(x), rotary, bias)
        out: Tensor = x + self.ffn(self.ffn_norm(x))
        return out
