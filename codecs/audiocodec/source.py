"""Excitation for the vocoder: band-limited pulses from a pitch curve, noise from a seed and a position."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from audiocodec.numbers import MEL_HOP_LENGTH, SAMPLE_RATE

LOWEST_HZ = 40.0  # below it a frame counts as unvoiced
TOP_HZ = 11_000.0  # no harmonic above it


@dataclass(frozen=True, slots=True)
class PulseState:
    """Small state, returned anew."""

    phase: Tensor  # turns at the end of the last hop, in [0, 1), (B,) float64
    f0_hz: Tensor  # of the last frame, (B,); 0 where unvoiced


def initial_pulse_state(batch: int, device: torch.device) -> PulseState:
    """State before the first frame: unvoiced, phase 0."""
    return PulseState(
        torch.zeros(batch, dtype=torch.float64, device=device), torch.zeros(batch, device=device)
    )


def pulses(f0_hz: Tensor, state: PulseState) -> tuple[Tensor, PulseState]:
    """Turn pitch per frame into samples: all harmonics below TOP_HZ with amplitude 1 and phase 0.

    Within hop t the pitch goes in a straight line from that of frame t - 1 to that of frame t; where one of
    them is unvoiced the other one's holds; where both are, there is silence.

    Args:
        f0_hz: (B, T), 0 where unvoiced.
        state: what the last call returned.

    Returns:
        (B, T * MEL_HOP_LENGTH) float32 and the next state.

    Source: closed form of a sum of cosines, sum_{h=1..H} cos(h t) = sin((H + 1/2) t) / (2 sin(t / 2)) - 1/2.
    """
    before = torch.cat([state.f0_hz[:, None].to(f0_hz.dtype), f0_hz[:, :-1]], dim=1)
    start = torch.where(before > LOWEST_HZ, before, f0_hz)
    end = torch.where(f0_hz > LOWEST_HZ, f0_hz, before)
    step = (torch.arange(MEL_HOP_LENGTH, device=f0_hz.device, dtype=torch.float64) + 1) / MEL_HOP_LENGTH
    f = (start[..., None] + (end - start)[..., None] * step).flatten(1)  # (B, T * hop) float64
    voiced = f > LOWEST_HZ
    f = f.clamp_min(LOWEST_HZ)
    turns = state.phase[:, None] + torch.cumsum(f, dim=1) / SAMPLE_RATE
    turns = turns - turns.floor()
    half = (math.pi * turns).float()
    order = (TOP_HZ / f).floor().float()
    bottom = 2 * half.sin()
    near_pole = bottom.abs() <= 2e-3
    train = ((2 * order + 1) * half).sin() / torch.where(near_pole, torch.ones_like(bottom), bottom)
    train = torch.where(near_pole, order + 0.5, train) - 0.5
    return train * voiced, PulseState(turns[:, -1], f0_hz[:, -1].float())


def noise(seeds: Tensor, first_hop: int, hops: int) -> Tensor:
    """White noise of standard deviation 1 that depends only on seed and position, (B, hops * MEL_HOP_LENGTH).

    ``seeds`` is (B,) int64.

    A counter-based generator (two rounds of an integer mix over the sample's index) feeds a sum of four
    uniform values; cutting a stream elsewhere gives the same samples.
    """
    index = first_hop * MEL_HOP_LENGTH + torch.arange(hops * MEL_HOP_LENGTH, device=seeds.device)
    x = (index[None] & 0xFFFFFFFF) ^ ((seeds[:, None] * 0x9E3779B1) & 0xFFFFFFFF)
    for multiplier in (0x7FEB352D, 0x46A3B1C5):
        x = ((x ^ (x >> 16)) * multiplier) & 0xFFFFFFFF
        x = ((x ^ (x >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    x = x ^ (x >> 16)
    parts = (x & 0xFF) + ((x >> 8) & 0xFF) + ((x >> 16) & 0xFF) + ((x >> 24) & 0xFF)
    return (parts.float() - 510.0) / 147.8
