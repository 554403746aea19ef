"""What is done to log mel power itself, so that made voices differ more than they do."""

import numpy as np
import torch
from torch import Tensor, nn

from audiocodec.front_end import mel_centres
from audiocodec.numbers import LISTEN_SAMPLE_RATE, MEL_FRAME_RATE


def other_throat(power: Tensor, factor: float) -> Tensor:
    """Log mel (bands, frames) as from a throat that puts every resonance at so many times its frequency.

    Source: Jaitly and Hinton 2013, Vocal Tract Length Perturbation improves speech recognition.
    """
    centres = mel_centres(len(power), LISTEN_SAMPLE_RATE)
    low = torch.searchsorted(centres, centres / factor).clamp(1, len(centres) - 1) - 1
    part = (
        ((centres / factor - centres[low]) / (centres[low + 1] - centres[low])).clamp(0, 1)[:, None].float()
    )
    return power[low] * (1 - part) + power[low + 1] * part


def uneven_pace(power: Tensor, rng: np.random.Generator) -> Tensor:
    """Log mel (bands, two frames or more) whose pace swings by up to a third, twice in three seconds to twice
    in one; no frame moves by more than a tenth of a second, and the length stays.
    """
    frames = power.shape[1]
    swings, depth = rng.uniform(0.7, 2.0) / MEL_FRAME_RATE, rng.uniform(0.1, 0.35)  # a frame
    time = torch.arange(frames)
    phase = 2 * torch.pi * swings * time + rng.uniform(0, 2 * np.pi)
    place = (time + depth / (2 * np.pi * swings) * torch.sin(phase)).clamp(0, frames - 1)
    before = place.long().clamp(max=frames - 2)
    part = place - before
    return power[:, before] * (1 - part) + power[:, before + 1] * part


def bent_sounds(bands: int, frames: int, rng: np.random.Generator) -> Tensor:
    """Smooth random changes in log power (bands, frames) over an eighth of the bands and 80 ms or more."""
    places = torch.from_numpy(
        rng.standard_normal((1, 1, bands // 10 + 1, frames // 8 + 2)).astype(np.float32)
    )
    smooth = nn.functional.interpolate(places, (bands, frames), mode="bilinear", align_corners=True)
    return smooth[0, 0] * float(rng.uniform(0.1, 0.35))


def hide(power: Tensor, rng: np.random.Generator, share: float) -> None:
    """Hide up to two stretches of time in log mel (bands, frames), each with probability ``share``, and more
    seldom of pitch, in its place.

    Source: Park et al. 2019, arXiv:1904.08779 (SpecAugment).
    """
    bands, frames = power.shape
    for _ in range(rng.binomial(2, share)):
        start, width = int(rng.integers(frames)), int(rng.integers(1, 12))
        power[:, start : start + width] = power.min()
    for _ in range(rng.binomial(2, 0.6 * share)):
        start, width = int(rng.integers(bands)), int(rng.integers(1, 10))
        power[start : start + width] = power.min()
