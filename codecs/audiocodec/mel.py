"""Streaming log-mel spectrogram with causal framing.

Mel frame t is made of the samples [(t + 1) * hop - window, (t + 1) * hop) and is centred at t * hop - hop.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiocodec.numbers import LOG_FLOOR, MEL_HOP_LENGTH, MEL_WINDOW_LENGTH, N_FFT, N_MELS, SAMPLE_RATE

SILENCE = math.log(LOG_FLOOR)  # the value of a mel bin in silence


def mel_filters(n_freqs: int, n_mels: int, sample_rate: int) -> Tensor:
    """Make triangular mel filters on the HTK scale from 0 Hz to half the sample rate, (n_freqs, n_mels).

    Source: the same values as torchaudio.functional.melscale_fbanks with norm=None and mel_scale="htk", so
    that public Vocos checkpoints see what they were trained on.
    """
    top = sample_rate / 2
    freqs = torch.linspace(0, top, n_freqs, dtype=torch.float64)
    mels = torch.linspace(0, 2595 * math.log10(1 + top / 700), n_mels + 2, dtype=torch.float64)
    points = 700 * (10 ** (mels / 2595) - 1)
    widths = points[1:] - points[:-1]
    slopes = points[None, :] - freqs[:, None]
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    return torch.minimum(rising, falling).clamp_min(0).float()


@dataclass(frozen=True, slots=True)
class MelState:
    """Small state, returned anew."""

    tail: Tensor  # the last window - hop samples, (B, MEL_WINDOW_LENGTH - MEL_HOP_LENGTH)


class LogMel(nn.Module):
    """Natural log of mel magnitudes, the same whether fed whole or hop by hop."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(MEL_WINDOW_LENGTH), persistent=False)
        self.register_buffer("filters", mel_filters(N_FFT // 2 + 1, N_MELS, SAMPLE_RATE), persistent=False)

    def initial_state(self, batch: int) -> MelState:
        """State before the first sample: silence."""
        return MelState(self.window.new_zeros(batch, MEL_WINDOW_LENGTH - MEL_HOP_LENGTH))

    def forward(self, pcm: Tensor, state: MelState) -> tuple[Tensor, MelState]:
        """Map PCM (B, n * MEL_HOP_LENGTH) to log mel (B, n, N_MELS) and return the state for the next call.

        Raises:
            ValueError: the samples are no whole number of hops.
        """
        if pcm.shape[-1] % MEL_HOP_LENGTH:
            raise ValueError(f"{pcm.shape[-1]} samples are no multiple of the hop, {MEL_HOP_LENGTH}")
        samples = torch.cat([state.tail, pcm], dim=-1)
        keep = MelState(samples[:, samples.shape[-1] - state.tail.shape[-1] :])
        if pcm.shape[-1] == 0:
            return pcm.new_zeros(pcm.shape[0], 0, N_MELS), keep
        frames = samples.unfold(-1, MEL_WINDOW_LENGTH, MEL_HOP_LENGTH) * self.window
        magnitudes = torch.fft.rfft(frames, n=N_FFT).abs()
        return (magnitudes @ self.filters).clamp_min(LOG_FLOOR).log(), keep
