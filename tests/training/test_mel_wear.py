"""Changes of log mel power that make made voices differ more."""

import numpy as np
import pytest
import torch

from assistant.training.mel_wear import bent_sounds, hide, other_throat, uneven_pace
from audiocodec.front_end import mel_centres


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.18])
def test_another_throat_moves_resonances(factor: float) -> None:
    centres = mel_centres(80, 16_000).float()
    resonance_hz = 2_000.0
    power = -((centres - resonance_hz) / 400).square()[:, None].expand(80, 3)
    moved = other_throat(power, factor)
    assert moved.shape == power.shape
    peak = centres[moved[:, 0].argmax()]
    assert float(peak) == pytest.approx(resonance_hz * factor, rel=0.03)
    if factor == 1:
        torch.testing.assert_close(moved, power, atol=1e-4, rtol=1e-4)


def test_an_uneven_pace_moves_frames_a_little_and_keeps_their_order() -> None:
    moments = torch.arange(300.0)[None].expand(80, -1)
    rates = []
    for seed in range(20):
        moved = uneven_pace(moments, np.random.default_rng(seed))
        assert moved.shape == moments.shape
        assert float((moved - moments).abs().max()) < 9
        steps = moved[0].diff()
        assert float(steps.min()) >= 0
        rates.append(float(steps.max()))
    assert min(rates) > 1.05
    assert 1.25 < max(rates) < 1.4


@pytest.mark.parametrize("frames", [1, 2, 16, 400])
def test_bent_sounds_are_smooth_and_of_no_colour(frames: int) -> None:
    changes = torch.stack([bent_sounds(80, frames, np.random.default_rng(seed)) for seed in range(40)])
    assert changes.shape == (40, 80, frames)
    assert abs(float(changes.mean())) < 0.05
    assert 0.08 < float(changes.std()) < 0.3
    assert float(changes.diff(dim=1).abs().max()) < 0.3


def test_what_is_hidden_is_as_low_as_silence_and_never_much() -> None:
    shares = []
    for seed in range(50):
        power = 1 + torch.rand(80, 300)
        least = power.min()
        hide(power, np.random.default_rng(seed), 0.4)
        assert torch.equal(power.min(), least)
        shares.append(float((power == least).float().mean()))
    assert 0 < np.mean(shares) < 0.2
    untouched = torch.rand(80, 300)
    before = untouched.clone()
    hide(untouched, np.random.default_rng(0), 0.0)
    assert torch.equal(untouched, before)
