"""A critic of log mel spectra: against the blur that comes of being right on average.

Sources: Jang et al. 2021, UnivNet, arXiv 2106.07889 (critics on spectra); Kong et al. 2020, HiFi-GAN, arXiv
2010.05646, section 2.3 (to look the same inside the critic).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from assistant.training.precision import mixed
from audiocodec.sound_codes import MEL_CENTRE, MEL_SPREAD

WIDTH = 32
SHAPES = (((3, 5), (1, 2), 1), ((5, 5), (2, 2), 1), ((3, 5), (2, 2), 2), ((3, 3), (1, 2), 2))
FOOLING_WEIGHT, FEATURE_WEIGHT = 0.03, 0.3


class MelCritic(nn.Module):
    """Judges patches of 0.1 to 0.2 seconds and some dozen bands."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, *(WIDTH * times for _, _, times in SHAPES)]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, kernel, stride, padding=(kernel[0] // 2, kernel[1] // 2)))
            for a, b, (kernel, stride, _) in zip(widths[:-1], widths[1:], SHAPES, strict=True)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, mel: Tensor) -> list[Tensor]:
        """Features of every layer for log mel (B, T, N_MELS), the verdict last."""
        x = ((mel - MEL_CENTRE) / MEL_SPREAD)[:, None].to(memory_format=torch.channels_last)
        found = []
        with mixed(mel.device.type):
            for layer in self.layers:
                x = functional.leaky_relu(layer(x), 0.1)
                found.append(x)
            return [*found, self.last(x)]


def judging_loss(critic: MelCritic, made: Tensor, true: Tensor) -> Tensor:
    """Hinge loss of the critic: true above 1, made below -1."""
    fake, real = critic(made.detach())[-1].float(), critic(true)[-1].float()
    return functional.relu(1 + fake).mean() + functional.relu(1 - real).mean()


def fooling_loss(critic: MelCritic, made: Tensor, true: Tensor) -> Tensor:
    """What the decoder is told: be taken for true, and look the same inside the critic."""
    with torch.no_grad():
        goals = critic(true)
    *features, verdict = critic(made)
    alike = [
        (ours.float() - goal.float()).abs().mean() / goal.float().abs().mean()
        for ours, goal in zip(features, goals[:-1], strict=True)
    ]
    loss: Tensor = FEATURE_WEIGHT * torch.stack(alike).mean() - FOOLING_WEIGHT * verdict.float().mean()
    return loss
