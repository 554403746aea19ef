"""Low-rank adapters: merged weights give what the adapted layers gave."""

from pathlib import Path

import pytest
import torch

from assistant.errors import WeightsError
from assistant.model.adapters import Adapter, adapter_tensors, merge, read_adapter
from assistant.model.backbone import Backbone
from assistant.model.config import ModelConfig
from assistant.model.hearing_files import load_adapter, save_adapter
from assistant.training.lora import Adapted

CONFIG = ModelConfig(
    layers=2,
    width=16,
    heads=2,
    kv_heads=1,
    head_dim=8,
    ffn_width=24,
    vocabulary=20,
    rope_base=10_000.0,
    norm_eps=1e-5,
    context=64,
)


def make_backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone(CONFIG).eval()


def learned() -> tuple[Backbone, Adapted]:
    backbone = make_backbone()
    adapted = Adapted(backbone, 4, (3, 5))
    generator = torch.Generator().manual_seed(1)
    for parameter in adapted.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return backbone, adapted


@torch.no_grad()
def test_merging_gives_the_same(tmp_path: Path) -> None:
    backbone, adapted = learned()
    tokens = torch.tensor([[1, 3, 7, 5, 2]])
    want = backbone(adapted.embed(backbone, tokens)).last
    save_adapter(tmp_path / "adapter.safetensors", adapted.adapter())
    merged = merge(make_backbone(), load_adapter(tmp_path / "adapter.safetensors"))
    torch.testing.assert_close(merged(merged.embed(tokens)).last, want, atol=2e-2, rtol=1e-2)


@torch.no_grad()
def test_an_untrained_adapter_changes_nothing() -> None:
    tokens = torch.tensor([[1, 3, 7, 5, 2]])
    plain = make_backbone()
    want = plain(plain.embed(tokens)).last
    backbone = make_backbone()
    adapted = Adapted(backbone, 4, (3, 5))
    torch.testing.assert_close(backbone(adapted.embed(backbone, tokens)).last, want)


def test_only_adapters_learn() -> None:
    backbone, adapted = learned()
    assert not any(
        p.requires_grad for n, p in backbone.named_parameters() if not n.endswith((".down", ".up"))
    )
    assert len(adapted.names) == 2 * 7


def test_what_does_not_fit_is_refused_before_anything_changes() -> None:
    backbone = make_backbone()
    before = backbone.blocks[0].attention.q.weight.clone()
    good = (torch.ones(1, 16), torch.ones(16, 1))
    empty = (torch.zeros(0, dtype=torch.long), torch.zeros(0, 16))
    for name in ("blocks.9.attention.q", "blocks.0.ffn.up"):
        with pytest.raises(WeightsError, match=name):
            merge(backbone, Adapter({"blocks.0.attention.q": good, name: good}, *empty))
    torch.testing.assert_close(backbone.blocks[0].attention.q.weight, before)


def test_half_a_pair_is_refused() -> None:
    tensors = adapter_tensors(
        Adapter({"a": (torch.ones(1, 2), torch.ones(2, 1))}, torch.zeros(0), torch.zeros(0))
    )
    del tensors["a.up"]
    with pytest.raises(WeightsError, match="only one half of a"):
        read_adapter(tensors)
