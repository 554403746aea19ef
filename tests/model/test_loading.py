"""Weights of the public layouts load and compute what transformers computes; unfit files are refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from assistant.errors import WeightsError
from assistant.model.backbone import Backbone
from assistant.model.checkpoint import make_decoder
from assistant.model.kv_cache import CacheShape
from assistant.model.loading import load_backbone, unpermute
from assistant.model.quantized import interleave, load_quantized, pack, quantize, save_quantized, unpack

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}


def hub_folder(family: str, folder: Path) -> torch.nn.Module:
    """Save a tiny random model of transformers' and give it."""
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    classes = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    }
    config, model_class = classes[family]
    torch.manual_seed(0)
    extra = {"head_dim": 16} if family == "qwen3" else {}
    model: torch.nn.Module = model_class(config(**SIZES, **extra)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_logits_equal_transformers(family: str, tmp_path: Path) -> None:
    theirs = hub_folder(family, tmp_path)
    ours = load_backbone(tmp_path)
    ids = torch.randint(0, 64, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        want = theirs(ids).logits
        got = ours.logits(ours(ours.embed(ids)).last)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    decoder = make_decoder(ours)  # rounded: near, not equal
    streamed = decoder.prefill(decoder.new_cache(CacheShape(window=64)), ids[0]).logits
    assert (streamed - want[:1, -1]).abs().max() < 0.1 * want.abs().max()


def test_padding_is_seen_by_no_one(tiny: Backbone) -> None:
    ids = torch.randint(0, 96, (1, 9), generator=torch.Generator().manual_seed(0))
    alone = tiny(tiny.embed(ids)).last
    for left, right in ((0, 4), (3, 0), (2, 2)):
        padded = torch.nn.functional.pad(ids, (left, right), value=5)
        keep = torch.nn.functional.pad(torch.ones_like(ids, dtype=torch.bool), (left, right))
        got = tiny(tiny.embed(padded), keep=keep).last[:, left : left + 9]
        torch.testing.assert_close(got, alone, atol=1e-5, rtol=1e-4)


def test_the_backbone_learns(tiny: Backbone) -> None:
    """Gradients reach the embeddings that go in and every projection."""
    x = tiny.embed(torch.arange(8)[None]).detach().requires_grad_()
    tiny.logits(tiny(x).last).square().mean().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(weight.grad is not None for weight in tiny.blocks.parameters())
    tiny.zero_grad(set_to_none=True)


def test_unpermute_undoes_the_gguf_order() -> None:
    """Rows of two heads of 4: pairs (0, 2) and (1, 3) lie side by side in the file."""
    stored = torch.tensor([[0.0], [2.0], [1.0], [3.0], [4.0], [6.0], [5.0], [7.0]])
    assert unpermute(stored, 2).flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.norm.weight": None}, "lacks the weights of norm.weight"),
        ({"model.norm.weight": torch.ones(31)}, r"norm.weight is \(31,\), must be \(32,\)"),
        ({"model.norm.weight": torch.ones(32, dtype=torch.int64)}, "norm.weight is torch.int64"),
    ],
)
def test_unfit_tensors_are_refused(
    change: dict[str, torch.Tensor | None], message: str, tmp_path: Path
) -> None:
    hub_folder("llama", tmp_path)
    tensors = {**load_file(tmp_path / "model.safetensors"), **change}
    save_file(
        {name: tensor for name, tensor in tensors.items() if tensor is not None},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(WeightsError, match=message):
        load_backbone(tmp_path)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    hub_folder("llama", tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="damaged or cut short"):
        load_backbone(weights)
    config.write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(WeightsError, match="model_type 'mamba' is not one of"):
        load_backbone(tmp_path)
    config.unlink()
    with pytest.raises(WeightsError, match=r"config.json cannot be read"):
        load_backbone(tmp_path)
    with pytest.raises(WeightsError, match="no weights at"):
        load_backbone(tmp_path / "none.gguf")


def test_packing_keeps_every_weight_in_its_place() -> None:
    """Whole numbers that int8 can hold survive exactly, padding included."""
    weight = torch.randint(-127, 128, (21, 70), generator=torch.Generator().manual_seed(0)).float()
    weight[:, ::32] = 127.0  # so that each group's scale is 1
    packed = pack(weight)
    assert (packed.rows, packed.columns) == (32, 96)
    assert torch.equal(unpack(packed)[:21, :70], weight)
    both = interleave(torch.zeros(32, 4), torch.ones(32, 4))
    assert both[:, 0].tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 16 + [1.0] * 16


@pytest.mark.parametrize("levels", [255, 15])
def test_rounded_files_are_rounded_to_themselves(levels: int) -> None:
    """Symmetric blocks of Q8_0 and shifted blocks of Q4_1, with their float16 scales, lose nothing."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(0, levels + 1, (16, 3, 32), generator=generator).float()
    whole[..., 0], whole[..., 1] = 0, levels  # a block always uses its whole range
    scale = torch.rand(16, 3, 1, generator=generator).half().float() / 16
    low = -torch.rand(16, 3, 1, generator=generator).half().float() if levels == 15 else -127 * scale
    weight = ((whole if levels == 15 else whole.clamp(max=254)) * scale + low).view(16, 96)
    torch.testing.assert_close(unpack(pack(weight)), weight, atol=1e-7, rtol=1e-6)


def test_rounded_weights_survive_their_file(tiny: Backbone, tmp_path: Path) -> None:
    model = quantize(tiny)
    path = tmp_path / "deep" / "model.safetensors"
    save_quantized(model, path)
    again = load_quantized(path)
    assert again.config == model.config
    assert torch.equal(again.layers[1].gate_up.weight, model.layers[1].gate_up.weight)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged or cut short"):
        load_quantized(path)
