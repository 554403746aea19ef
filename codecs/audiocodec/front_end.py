"""What the encoder hears first: an 80-bin log mel at 16 kHz, framed causally and normalised by a running
reference.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiocodec.numbers import (
    LISTEN_HOP_LENGTH,
    LISTEN_N_MELS,
    LISTEN_SAMPLE_RATE,
    LISTEN_WINDOW_LENGTH,
)
from audiocodec.resample import Downsampler

LOG_FLOOR = 1e-10  # mel power
DYNAMIC_RANGE = 8.0  # decades of power below the reference that are kept: 80 dB
REFERENCE_FLOOR = -1.5  # decades; quieter sound is not raised any further
REFERENCE_DECAY = 0.0005  # decades per frame: the reference forgets 0.5 dB in a second
REFERENCE_LEVEL = 1.3  # decades; where speech at a usual level has its loudest frames
WINDOW_TAIL = LISTEN_WINDOW_LENGTH - LISTEN_HOP_LENGTH


def mel_edges(n_mels: int, sample_rate: int) -> Tensor:
    """Edges of the mel bands in Hz, (n_mels + 2,): band i rises from edge i to i + 1 and falls to i + 2.

    Source: Slaney, Auditory Toolbox (1998); the scale is linear below 1 kHz and logarithmic above.
    """
    linear_hz, break_hz, step = 200.0 / 3, 1_000.0, torch.log(torch.tensor(6.4, dtype=torch.float64)) / 27
    top_hz = sample_rate / 2
    top = break_hz / linear_hz + torch.log(torch.tensor(top_hz / break_hz, dtype=torch.float64)) / step
    mels = torch.linspace(0, 1, n_mels + 2, dtype=torch.float64) * top
    return torch.where(
        mels < break_hz / linear_hz,
        mels * linear_hz,
        break_hz * torch.exp((mels - break_hz / linear_hz) * step),
    )


def mel_centres(n_mels: int, sample_rate: int) -> Tensor:
    """Frequency in Hz at which each mel band is highest, (n_mels,) float64."""
    return mel_edges(n_mels, sample_rate)[1:-1]


def mel_filters(n_mels: int, n_fft: int, sample_rate: int) -> Tensor:
    """Triangular filters of equal area on the mel scale, see ``mel_edges``: (n_mels, n_fft // 2 + 1)."""
    edges, top_hz = mel_edges(n_mels, sample_rate), sample_rate / 2
    bins = torch.linspace(0, top_hz, n_fft // 2 + 1, dtype=torch.float64)
    width = edges.diff()
    slopes = edges[:, None] - bins[None]
    rising, falling = -slopes[:-2] / width[:-1, None], slopes[2:] / width[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0) * area[:, None]).float()


@dataclass(frozen=True, slots=True)
class FrontEndState:
    """What a stream carries from block to block; a new one each time, so a copy is a reference."""

    resampler: Tensor  # (B, TAIL) samples at 24 kHz
    samples: Tensor  # (B, WINDOW_TAIL) samples at 16 kHz
    reference: Tensor  # (B,) decades of mel power


class FrontEnd(nn.Module):
    """PCM at 24 kHz to log mel frames at 100 Hz.

    Mel frame t covers the 25 ms that end at sample (t + 1) * 160 at 16 kHz (and the resampler's 1 ms), so
    that no frame needs sound that is still to come. A clip's maximum is unknown while it lasts: the
    reference is the loudest mel value so far, slowly forgotten, and never below ``REFERENCE_FLOOR``.
    """

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.resampler = Downsampler()
        self.register_buffer("window", torch.hann_window(LISTEN_WINDOW_LENGTH), persistent=False)
        filters = mel_filters(LISTEN_N_MELS, LISTEN_WINDOW_LENGTH, LISTEN_SAMPLE_RATE)
        self.register_buffer("filters", filters, persistent=False)

    def initial_state(self, batch: int) -> FrontEndState:
        """Silence before the stream."""
        reference = self.window.new_full((batch,), REFERENCE_FLOOR)
        return FrontEndState(
            self.resampler.initial_state(batch), self.window.new_zeros(batch, WINDOW_TAIL), reference
        )

    def forward(self, pcm: Tensor, state: FrontEndState) -> tuple[Tensor, Tensor, Tensor, FrontEndState]:
        """Hear (B, n * 240) samples at 24 kHz.

        Returns:
            Normalised log mel (B, 80, n), unnormalised log10 mel power (B, 80, n), the samples at 16 kHz
            (B, n * 160), and the new state.
        """
        samples, resampler = self.resampler(pcm, state.resampler)
        joined = torch.cat([state.samples, samples], dim=-1)
        power = self.log_mel(joined)
        normalised, reference = normalise(power, state.reference)
        return normalised, power, samples, FrontEndState(resampler, joined[:, -WINDOW_TAIL:], reference)

    def log_mel(self, samples: Tensor) -> Tensor:
        """Log10 mel power of every whole window in (B, samples) at 16 kHz: (B, 80, windows)."""
        frames = samples.unfold(-1, LISTEN_WINDOW_LENGTH, LISTEN_HOP_LENGTH) * self.window
        spectrum = torch.fft.rfft(frames)
        power = spectrum.real.square() + spectrum.imag.square()
        mel: Tensor = (power @ self.filters.T).clamp(min=LOG_FLOOR).log10().transpose(1, 2)
        return mel


def normalise(power: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Bring (B, n_mels, T) decades to about -1..1.4 against the running reference (B,); also give the new
    reference.
    """
    steps = torch.arange(1, power.shape[-1] + 1, device=power.device) * REFERENCE_DECAY
    peaks = torch.cat([reference[:, None], power.amax(dim=1) + steps], dim=1)
    running = (peaks.cummax(dim=1).values[:, 1:] - steps).clamp(min=REFERENCE_FLOOR)
    level = running[:, None]
    kept = torch.maximum(power, level - DYNAMIC_RANGE)
    return (kept - level + REFERENCE_LEVEL + 4) / 4, running[:, -1]
