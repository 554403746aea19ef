"""Sharper spectra: how much livelier, and what stays."""

import torch

from audiocodec.sharpen import sharpened


def test_ripples_grow_by_the_part_and_a_level_stays() -> None:
    bins = torch.arange(400.0)
    level, ripple = torch.full((2, 3, 400), -4.0), 0.5 * torch.sin(2 * torch.pi * bins / 11)
    torch.testing.assert_close(sharpened(level, 0.3, 5), level)
    made = sharpened(level + ripple, 0.3, 5)  # a whole period lies within reach: its mean is the level
    torch.testing.assert_close(made[..., 5:-5], (level + 1.3 * ripple)[..., 5:-5])


def test_frames_do_not_mix() -> None:
    gains = torch.randn(1, 4, 60)
    torch.testing.assert_close(sharpened(gains, 0.2, 8)[:, 2:3], sharpened(gains[:, 2:3], 0.2, 8))
