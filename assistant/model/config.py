"""The numbers of a Llama-family decoder, read from whichever file carries its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assistant.errors import WeightsError
from audiocodec.numbers import exact_div

HUB_MODEL_TYPES = ("llama", "qwen2", "qwen3")
GGUF_ARCHITECTURES = ("llama", "qwen2", "qwen3")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of the decoder; fixed for the life of its weights."""

    layers: int
    width: int  # D
    heads: int  # H, of the queries
    kv_heads: int  # each serves heads / kv_heads query heads
    head_dim: int
    ffn_width: int
    vocabulary: int
    rope_base: float
    norm_eps: float
    context: int  # longest distance between two positions seen in training
    tied: bool = True  # the output matrix is the embedding matrix
    qkv_bias: bool = False  # Qwen2
    qk_norm: bool = False  # Qwen3: RMSNorm on each head of q and k

    def __post_init__(self) -> None:
        for name in (
            "layers",
            "width",
            "heads",
            "kv_heads",
            "head_dim",
            "ffn_width",
            "vocabulary",
            "context",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        exact_div(self.heads, self.kv_heads)
        exact_div(self.head_dim, 2)

    @property
    def group(self) -> int:
        """Query heads that share one key/value head."""
        return exact_div(self.heads, self.kv_heads)

    @property
    def query_width(self) -> int:
        """Width of all query heads side by side."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key (or value) heads side by side."""
        return self.kv_heads * self.head_dim


def config_from_gguf(metadata: Mapping[str, Any], tied: bool) -> ModelConfig:
    """Read the shape from GGUF metadata; ``tied`` says that the file has no separate output matrix.

    Raises:
        WeightsError: another architecture, or a number is missing or impossible.
    """
    family = metadata.get("general.architecture")
    if family not in GGUF_ARCHITECTURES:
        raise WeightsError(f"architecture {family!r} is not one of {', '.join(GGUF_ARCHITECTURES)}")
    try:
        width = int(metadata[f"{family}.embedding_length"])
        heads = int(metadata[f"{family}.attention.head_count"])
        return ModelConfig(
            layers=int(metadata[f"{family}.block_count"]),
            width=width,
            heads=heads,
            kv_heads=int(metadata.get(f"{family}.attention.head_count_kv", heads)),
            head_dim=int(metadata.get(f"{family}.attention.key_length", width // heads)),
            ffn_width=int(metadata[f"{family}.feed_forward_length"]),
            vocabulary=len(metadata["tokenizer.ggml.tokens"]),
            rope_base=float(metadata.get(f"{family}.rope.freq_base", 10_000.0)),
            norm_eps=float(metadata[f"{family}.attention.layer_norm_rms_epsilon"]),
            context=int(metadata[f"{family}.context_length"]),
            tied=tied,
            qkv_bias=family == "qwen2",
            qk_norm=family == "qwen3",
        )
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(f"the GGUF metadata does not describe a {family} model: {error}") from error


def config_from_hub(values: Mapping[str, Any]) -> ModelConfig:
    """Read the shape from a hub repository's ``config.json``.

    Raises:
        WeightsError: another model type, or a number is missing or impossible.
    """
    family = values.get("model_type")
    if family not in HUB_MODEL_TYPES:
        raise WeightsError(f"model_type {family!r} is not one of {', '.join(HUB_MODEL_TYPES)}")
    try:
        width, heads = int(values["hidden_size"]), int(values["num_attention_heads"])
        rope = values.get("rope_parameters") or {}
        return ModelConfig(
            layers=int(values["num_hidden_layers"]),
            width=width,
            heads=heads,
            kv_heads=int(values.get("num_key_value_heads", heads)),
            head_dim=int(values.get("head_dim") or width // heads),
            ffn_width=int(values["intermediate_size"]),
            vocabulary=int(values["vocab_size"]),
            rope_base=float(values.get("rope_theta") or rope.get("rope_theta", 10_000.0)),
            norm_eps=float(values["rms_norm_eps"]),
            context=int(values["max_position_embeddings"]),
            tied=bool(values.get("tie_word_embeddings", False)),
            qkv_bias=family == "qwen2" or bool(values.get("attention_bias", False)),
            qk_norm=family == "qwen3",
        )
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(f"config.json does not describe a {family} model: {error}") from error
