"""A tiny random model that every test of the transformer shares."""

import pytest
import torch

from assistant.model.backbone import Backbone
from assistant.model.config import ModelConfig

TINY = ModelConfig(
    layers=3,
    width=48,
    heads=6,
    kv_heads=2,
    head_dim=8,
    ffn_width=80,
    vocabulary=96,
    rope_base=10_000.0,
    norm_eps=1e-5,
    context=256,
)


def random_backbone(config: ModelConfig, seed: int = 0) -> Backbone:
    """Make a model with random weights that are large enough for attention to matter."""
    torch.manual_seed(seed)
    model = Backbone(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=2.0 * weight.shape[-1] ** -0.5)
            else:
                weight.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture(scope="session")
def tiny() -> Backbone:
    """A random model with grouped heads."""
    return random_backbone(TINY)
