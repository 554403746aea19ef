"""Spectra made as lively as a voice's.

A net that learns spectra by their distance gives what lies in the middle of all that may be right, so its
peaks are too low and its valleys too shallow. They are moved away from the spectrum's own run by a part that
brings their variance to the teacher's.

Source: Toda and Tokuda 2007, A Speech Parameter Generation Algorithm Considering Global Variance; here with
one factor for all bins.
"""

import torch
from torch import Tensor
from torch.nn import functional


def sharpened(gains: Tensor, part: float, reach: int) -> Tensor:
    """Move log gains (B, T, bins) away from their mean over ``reach`` bins on either side, by ``part`` of the
    distance.
    """
    around = functional.pad(gains, (reach + 1, reach, 0, 0), mode="replicate").cumsum(dim=-1)
    width = 2 * reach + 1
    run = (around[..., width:] - around[..., :-width]) / width
    return torch.lerp(gains, run, -part)
