"""Narrow critics for adversarial training on a small machine.

Source: critics on several spectra as in Jang et al. 2021, UnivNet, arXiv 2106.07889, and Siuzdak 2023,
Vocos; on several periods as in Kong et al. 2020, HiFi-GAN, arXiv 2010.05646; a few channels wide, one of
each kind drawn per step.
"""

import random

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from assistant.training.precision import mixed

SPECTRA = ((1024, 240), (512, 120), (240, 60))  # length and hop
PERIODS = (2, 3, 5, 7)
WIDTH = 24
FEATURE_WEIGHT = 2.0


class SpectrumCritic(nn.Module):
    """Judges real and imaginary parts of one short-time transform."""

    def __init__(self, length: int, hop: int) -> None:
        super().__init__()
        self.length, self.hop = length, hop
        shapes = (((3, 7), (1, 2)), ((3, 7), (1, 2)), ((3, 5), (2, 2)), ((3, 3), (1, 2)))
        channels = [2, *(WIDTH for _ in shapes)]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, kernel, stride, padding=(kernel[0] // 2, kernel[1] // 2)))
            for a, b, (kernel, stride) in zip(channels[:-1], channels[1:], shapes, strict=True)
        )
        self.last = weight_norm(nn.Conv2d(WIDTH, 1, 3, padding=1))

    def forward(self, pcm: Tensor) -> list[Tensor]:
        """Give the features of every layer, the verdict last."""
        window = torch.hann_window(self.length, device=pcm.device)
        spectrum = (
            torch.stft(pcm, self.length, self.hop, window=window, return_complex=True) / self.length**0.5
        )
        spectrum = spectrum * 20
        size = spectrum.abs().clamp_min(1e-3)
        # Compress the range: speech's overtones are far weaker than its lowest harmonics.
        packed = spectrum / size * (1 + size * 30).log()
        x = torch.view_as_real(packed).permute(0, 3, 2, 1)
        found = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.1)
            found.append(x)
        return [*found, self.last(x)]


class PeriodCritic(nn.Module):
    """Judges the waveform folded to one period."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period
        channels = [1, 16, 32, 64, 64]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0)))
            for a, b in zip(channels[:-1], channels[1:], strict=True)
        )
        self.last = weight_norm(nn.Conv2d(64, 1, (3, 1), padding=(1, 0)))

    def forward(self, pcm: Tensor) -> list[Tensor]:
        """Give the features of every layer, the verdict last."""
        x = pcm[:, : pcm.shape[1] // self.period * self.period].reshape(len(pcm), 1, -1, self.period) * 10
        found = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.1)
            found.append(x)
        return [*found, self.last(x)]


class Critics(nn.Module):
    """All critics; a step asks one of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.spectra = nn.ModuleList(SpectrumCritic(*shape) for shape in SPECTRA)
        self.periods = nn.ModuleList(PeriodCritic(period) for period in PERIODS)

    def forward(self, pcm: Tensor, rng: random.Random) -> list[list[Tensor]]:
        """Give the features of the critics that the generator draws."""
        chosen = (rng.choice(list(self.spectra)), rng.choice(list(self.periods)))
        with mixed(pcm.device.type):
            return [critic(pcm) for critic in chosen]


def critic_loss(critics: Critics, made: Tensor, real: Tensor, rng: random.Random) -> Tensor:
    """Hinge loss of the critics: real above 1, made below -1."""
    total = made.new_zeros(())
    for found in critics(torch.cat([made, real]), rng):
        fake, true = found[-1].float().chunk(2)
        total = total + functional.relu(1 + fake).mean() + functional.relu(1 - true).mean()
    return total


def fooling_loss(critics: Critics, made: Tensor, real: Tensor, rng: random.Random) -> Tensor:
    """What the vocoder is told: be taken for real, and look the same inside the critics."""
    total = made.new_zeros(())
    for found in critics(torch.cat([made, real]), rng):
        total = total - found[-1].float().chunk(2)[0].mean()
        for layer in found[:-1]:
            fake, true = layer.float().chunk(2)
            total = (
                total
                + FEATURE_WEIGHT
                / len(found)
                * (fake - true.detach()).abs().mean()
                / true.detach().abs().mean()
            )
    return total
