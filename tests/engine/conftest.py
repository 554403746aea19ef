"""The tiny omni model as a fixture."""

from typing import Any, cast

import pytest
import torch

from assistant.engine.omni import Omni, Parts
from assistant.model.backbone import Backbone
from assistant.model.decoder import TorchDecoder
from assistant.model.hearing import Hearing
from assistant.model.kv_cache import CacheShape
from tests.engine.tiny_omni import CONFIG, Beeps, Ears, byte_tokenizer


@pytest.fixture(scope="module")
def omni() -> Omni:
    torch.manual_seed(1)
    model = Backbone(CONFIG)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=2.0 * weight.shape[-1] ** -0.5)
    parts = Parts(
        TorchDecoder(model.eval()),
        byte_tokenizer(),
        hearing=cast(Hearing, Ears()),
        voice=cast(Any, Beeps()),
        shape=CacheShape(window=256, sinks=4, rewind=128),
    )
    return Omni(parts)
