"""A run that was killed and gone on with gives the losses of one that was not."""

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.optim import Optimizer

from assistant.errors import WeightsError
from assistant.training import runs
from assistant.training.train_vocoder import Clips, VocoderPlan, VocoderRecipe
from audiocodec.numbers import MEL_HOP_LENGTH
from audiocodec.vocoder import VocoderConfig

TINY = VocoderConfig(layers=1, channels=8, hidden=8, kernel=3, pitch_layers=1, pitch_channels=8)


class Line:
    """Fits a line; draws its data as the recipes do."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Linear(3, 1)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), 0.05)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"net": self.net}

    def optimizers(self) -> Mapping[str, Optimizer]:
        return {"net": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        rng = runs.seed_step(0, number)
        x = torch.randn(8, 3) + rng.random()
        loss = (self.net(x) - x.sum(dim=1, keepdim=True)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}


def test_resumed_run_is_the_same(tmp_path: Path) -> None:
    whole = Line()
    runs.train(tmp_path / "whole", whole, runs.Plan(30))
    runs.train(tmp_path / "cut", Line(), runs.Plan(17))
    resumed = Line()
    runs.train(tmp_path / "cut", resumed, runs.Plan(30))
    assert torch.equal(resumed.net.weight, whole.net.weight)
    assert len(list((tmp_path / "cut").glob("*.safetensors"))) == 2


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    rng = np.random.default_rng(0)
    hops = 400
    pcm = (rng.standard_normal(hops * MEL_HOP_LENGTH) * 2_000).astype(np.int16)
    save_file({"pcm": pcm, "f0": np.full(hops, 200, np.float16)}, tmp_path / "0000.safetensors")
    return Clips.read(tmp_path)


@pytest.mark.parametrize("adversarial_from", [1, 10])
def test_resumed_vocoder_has_the_same_loss(tmp_path: Path, clips: Clips, adversarial_from: int) -> None:
    def recipe() -> VocoderRecipe:
        plan = VocoderPlan(steps=4, batch=1, hops=20, adversarial_from=adversarial_from)
        return VocoderRecipe(TINY, plan, clips, torch.device("cpu"))

    first, whole = recipe(), recipe()
    losses = [whole.step(number) for number in range(3)]
    for number in range(2):
        first.step(number)
    runs.save(tmp_path / "run", first, 2, {})
    random.seed(99)
    torch.manual_seed(99)
    second = recipe()
    assert runs.restore(tmp_path / "run", second) == 2
    assert second.step(2) == losses[2]


def test_missing_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no checkpoint"):
        runs.load_module(tmp_path, "net", nn.Linear(1, 1))


def test_rate_rises_and_falls() -> None:
    rates = [runs.cosine(step, 1_000, warm_up=100) for step in range(1_000)]
    assert rates[0] < rates[50] < rates[99] == 1
    assert rates[-1] < 0.03
