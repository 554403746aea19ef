"""24 kHz to 16 kHz by a causal polyphase filter, the first step of hearing."""

import math

import torch
from torch import Tensor, nn

UP, DOWN = 2, 3  # 24 kHz * 2 / 3 = 16 kHz
HALF_TAPS = 24  # input samples to each side of the filter's centre
DELAY_SAMPLES = HALF_TAPS  # at 24 kHz: 1 ms
KERNEL = 2 * HALF_TAPS + DOWN
TAIL = KERNEL - DOWN  # input samples that a stream carries over
CUTOFF = 0.31  # of the input rate: 7.4 kHz, so that nothing folds back below 8 kHz * 0.93
KAISER_BETA = 8.0


class Downsampler(nn.Module):
    """Windowed-sinc resampler whose only state is the last ``TAIL`` input samples.

    Output sample n lies at input time 1.5 n - DELAY_SAMPLES. Input comes in multiples of three samples.
    Source: Smith, "Digital Audio Resampling" (polyphase windowed sinc).
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        position = torch.arange(KERNEL, dtype=torch.float64)
        phases = []
        for phase in range(UP):
            # Group m reads inputs 3m - TAIL .. 3m + 2; its outputs lie at 3m and 3m + 1.5, less the delay.
            offset = position - TAIL + DELAY_SAMPLES - phase * DOWN / UP
            window = torch.special.i0(KAISER_BETA * (1 - (offset / (HALF_TAPS + 1)) ** 2).clamp(min=0).sqrt())
            window = window * (offset.abs() <= HALF_TAPS + 1)
            phases.append(2 * CUTOFF * torch.sinc(2 * CUTOFF * offset) * window)
        kernel = torch.stack(phases)
        kernel = kernel / kernel.sum(dim=1, keepdim=True)
        self.register_buffer("kernel", kernel[:, None].float(), persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Silence before the stream: (batch, TAIL)."""
        return self.kernel.new_zeros(batch, TAIL)

    def forward(self, pcm: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Resample (B, 3 n) at 24 kHz to (B, 2 n) at 16 kHz."""
        if pcm.shape[-1] % DOWN:
            raise ValueError(f"got {pcm.shape[-1]} samples, need a multiple of {DOWN}")
        joined = torch.cat([state, pcm], dim=-1)
        outputs = nn.functional.conv1d(joined[:, None], self.kernel, stride=DOWN)  # (B, UP, n)
        return outputs.transpose(1, 2).flatten(1), joined[:, -TAIL:]


def gain_at(frequency_hz: float, sample_rate: int = 24_000) -> float:
    """The filter's gain at a frequency, for the table in the documentation and for tests."""
    kernel = Downsampler().kernel[0, 0].double()
    phase = 2 * math.pi * frequency_hz / sample_rate * torch.arange(KERNEL, dtype=torch.float64)
    return float(torch.hypot((kernel * phase.cos()).sum(), (kernel * phase.sin()).sum()))
