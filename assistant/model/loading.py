"""From weight files to a Backbone: names, shapes and layouts of each source, checked before use."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from assistant.errors import WeightsError
from assistant.model.backbone import Backbone
from assistant.model.config import ModelConfig, config_from_gguf, config_from_hub
from assistant.weights.gguf import GGUFFile

FLOATS = (torch.float32, torch.bfloat16, torch.float16)

# Names within one layer: ours -> GGUF's, ours -> the hub's.
_GGUF_LAYER = {
    "attention_norm": "attn_norm",
    "attention.q": "attn_q",
    "attention.k": "attn_k",
    "attention.v": "attn_v",
    "attention.o": "attn_output",
    "attention.q_norm": "attn_q_norm",
    "attention.k_norm": "attn_k_norm",
    "ffn_norm": "ffn_norm",
    "ffn.gate": "ffn_gate",
    "ffn.up": "ffn_up",
    "ffn.down": "ffn_down",
}
_HUB_LAYER = {
    "attention_norm": "input_layernorm",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.o": "self_attn.o_proj",
    "attention.q_norm": "self_attn.q_norm",
    "attention.k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn.gate": "mlp.gate_proj",
    "ffn.up": "mlp.up_proj",
    "ffn.down": "mlp.down_proj",
}


def load_backbone(path: Path, dtype: torch.dtype = torch.float32) -> Backbone:
    """Load a Backbone from a GGUF file, or from a hub safetensors file (or its folder) with config.json.

    Returns:
        The model in evaluation mode with all weights in ``dtype``.

    Raises:
        WeightsError: nothing usable is there, the file is damaged, or names, shapes or dtypes do not fit.
    """
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise WeightsError(f"no weights at {path}: give a .gguf file or a folder with model.safetensors")
    if path.suffix == ".gguf":
        return backbone_from_gguf(GGUFFile(path), dtype)
    if path.suffix == ".safetensors":
        return _backbone_from_hub(path, dtype)
    raise WeightsError(f"{path} is neither .gguf nor .safetensors")


def backbone_from_gguf(file: GGUFFile, dtype: torch.dtype = torch.float32) -> Backbone:
    """Build a Backbone from an open GGUF file, dequantised; see ``load_backbone``."""
    config = config_from_gguf(file.metadata, tied="output.weight" not in file.infos)
    permuted = file.metadata["general.architecture"] == "llama"

    def read(name: str) -> Tensor | None:
        theirs = gguf_name(name)
        if theirs not in file.infos:
            return None
        tensor = file.tensor(theirs)
        if permuted and name.endswith((".q.weight", ".q.bias")):
            return unpermute(tensor, config.heads)
        if permuted and name.endswith((".k.weight", ".k.bias")):
            return unpermute(tensor, config.kv_heads)
        return tensor

    return _build(config, _Source(str(file.path), read), dtype)


def _backbone_from_hub(path: Path, dtype: torch.dtype) -> Backbone:
    try:
        values = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path.parent}/config.json cannot be read: {error}") from error
    config = config_from_hub(values)
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())

            def read(name: str) -> Tensor | None:
                theirs = hub_name(name)
                return file.get_tensor(theirs) if theirs in names else None

            return _build(config, _Source(str(path), read), dtype)
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or cut short ({error}); fetch it again") from error


@dataclass(frozen=True, slots=True)
class _Source:
    """A file that gives tensors by our names, None for one that it lacks."""

    name: str
    read: Callable[[str], Tensor | None]


def _build(config: ModelConfig, source: _Source, dtype: torch.dtype) -> Backbone:
    with torch.device("meta"):
        model = Backbone(config)
    state = {name: _fitting(source, name, want, dtype) for name, want in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    return model.eval()


def _fitting(source: _Source, name: str, want: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = source.read(name)
    if tensor is None:
        raise WeightsError(f"{source.name} lacks the weights of {name}")
    if tensor.shape != want.shape:
        raise WeightsError(f"{source.name}: {name} is {tuple(tensor.shape)}, must be {tuple(want.shape)}")
    if tensor.dtype not in FLOATS:
        raise WeightsError(f"{source.name}: {name} is {tensor.dtype}, must be float32, float16 or bfloat16")
    return tensor.to(dtype)


def unpermute(weight: Tensor, heads: int) -> Tensor:
    """Undo the row order of llama-layout GGUF files, which pairs neighbouring rotary channels.

    Rows (head, pair, 2) become rows (head, 2, pair): the half-split layout of ``rotary``.
    """
    rows = weight.shape[0] // heads
    return weight.view(heads, rows // 2, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def gguf_name(name: str) -> str:
    """Give GGUF's name for one of our tensors."""
    return _translate(
        name, "blk.{}.", _GGUF_LAYER, {"embedding": "token_embd", "norm": "output_norm", "head": "output"}
    )


def hub_name(name: str) -> str:
    """Give the hub's name for one of our tensors."""
    top = {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
    return _translate(name, "model.layers.{}.", _HUB_LAYER, top)


def _translate(name: str, prefix: str, layer: Mapping[str, str], top: Mapping[str, str]) -> str:
    module, _, kind = name.rpartition(".")
    if not module.startswith("blocks."):
        return f"{top[module]}.{kind}"
    _, index, part = module.split(".", 2)
    return f"{prefix.format(index)}{layer[part]}.{kind}"
