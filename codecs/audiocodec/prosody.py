"""How something is said: pitch, voicing and loudness of every 20 ms, measured as the sound comes."""

import torch
from torch import Tensor, nn

from audiocodec.numbers import (
    LISTEN_CODEC_HOP_LENGTH,
    LISTEN_SAMPLE_RATE,
    MEL_FRAMES_PER_CODEC_FRAME,
    exact_div,
)

STEP = 320  # samples at 16 kHz: 20 ms
STEPS_PER_FRAME = exact_div(LISTEN_CODEC_HOP_LENGTH, STEP)  # 4
PROSODY_WIDTH = 3 * STEPS_PER_FRAME  # pitch, voicing, loudness of each step of a codec frame
WINDOW = 512  # samples that are compared with their past
LOWEST_HZ, HIGHEST_HZ = 60, 500
LONGEST_LAG = LISTEN_SAMPLE_RATE // LOWEST_HZ  # 266
SHORTEST_LAG = LISTEN_SAMPLE_RATE // HIGHEST_HZ  # 32
HISTORY = WINDOW + LONGEST_LAG + 1 - STEP  # samples before a step's own that it needs
PITCH_CENTRE_HZ = 160.0
VOICED = 0.6  # correlation from which a step counts as voiced
FIRST_PEAK = 0.88  # a shorter lag nearly as good as the best one is the period; the best may be its double
QUIET = -4.0  # log10 of the root mean square that counts as nothing
LEAST_LEVEL = -5.0  # log10 of the root mean square under which nothing is told apart
FFT = 1_024


def pitch_steps(samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Measure (B, HISTORY + n * STEP) samples at 16 kHz.

    Normalised cross-correlation of the newest 32 ms with the same stretch one lag earlier; the first
    lag that is nearly as good as the best is the period.
    Source: Talkin 1995, "A robust algorithm for pitch tracking", section 3 (without the tracker).

    Returns:
        Pitch in Hz (B, n), 0 where unvoiced; correlation 0..1 (B, n); log10 of the root mean square (B, n).
    """
    frames = samples.unfold(-1, HISTORY + STEP, STEP)
    newest = frames[..., -WINDOW:]
    spectrum = torch.fft.rfft(newest, FFT).conj() * torch.fft.rfft(frames, FFT)
    # Column o: newest against the window that begins o samples into the frame; the lag is end - o.
    scores = torch.fft.irfft(spectrum, FFT)[..., : LONGEST_LAG + 2]
    squares = torch.nn.functional.pad(frames.double().square().cumsum(-1), (1, 0))
    energy = (squares[..., WINDOW:] - squares[..., :-WINDOW]).clamp(min=0).float()  # (B, n, LONGEST_LAG + 2)
    own = energy[..., -1]
    noise = WINDOW * 1e-9
    scores = scores / ((own[..., None] + noise) * (energy + noise)).sqrt()
    scores = scores.flip(-1)[..., SHORTEST_LAG - 1 :]  # by growing lag, one to each side of the range
    middle, left, right = scores[..., 1:-1], scores[..., :-2], scores[..., 2:]
    peaks = torch.where((middle >= left) & (middle >= right), middle, torch.zeros_like(middle))
    best = peaks.amax(dim=-1, keepdim=True)
    first = (peaks >= FIRST_PEAK * best).float().argmax(dim=-1, keepdim=True)
    height, before, after = middle.gather(-1, first), left.gather(-1, first), right.gather(-1, first)
    bend = (before - 2 * height + after).clamp(max=-1e-6)
    lag = SHORTEST_LAG + first + (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
    voicing = height.squeeze(-1).clamp(0, 1)
    loudness = (own / WINDOW).clamp(min=1e-12).log10() / 2
    voiced = (voicing > VOICED) & (loudness > QUIET)
    return torch.where(voiced, LISTEN_SAMPLE_RATE / lag.squeeze(-1), 0.0), voicing, loudness


class Prosody(nn.Module):
    """Vectors of 12 numbers for each codec frame; its state is the last samples.

    Four octaves above or below 160 Hz (0 where unvoiced), four correlations, four levels (log10 of the root
    mean square, raised by 2 so that usual speech lies around 1).
    """

    def initial_state(self, batch: int) -> Tensor:
        """Silence before the stream: (batch, HISTORY) samples at 16 kHz."""
        return torch.zeros(batch, HISTORY)

    def silence(self, batch: int, frames: int) -> Tensor:
        """What silence measures: (batch, frames, PROSODY_WIDTH)."""
        level = torch.full((batch, frames, STEPS_PER_FRAME), LEAST_LEVEL + 2)
        return torch.cat([torch.zeros(batch, frames, 2 * STEPS_PER_FRAME), level], dim=-1)

    def forward(self, samples: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Measure (B, n * 1280) samples at 16 kHz: (B, n, PROSODY_WIDTH) and the new state."""
        joined = torch.cat([state, samples], dim=-1)
        pitch, voicing, loudness = pitch_steps(joined)
        octaves = torch.where(pitch > 0, (pitch.clamp(min=1) / PITCH_CENTRE_HZ).log2(), 0.0)
        parts = [
            part.reshape(len(part), -1, STEPS_PER_FRAME)
            for part in (octaves, voicing, loudness.clamp(min=LEAST_LEVEL) + 2)
        ]
        return torch.cat(parts, dim=-1), joined[:, -HISTORY:]


def pitch_per_mel_frame(prosody: Tensor) -> Tensor:
    """Pitch in Hz of each mel frame, 0 where unvoiced: (B, 8 T) of prosody (B, T, PROSODY_WIDTH)."""
    octaves, voicing = prosody[..., :STEPS_PER_FRAME], prosody[..., STEPS_PER_FRAME : 2 * STEPS_PER_FRAME]
    pitch = torch.where((voicing > 0.5) & (octaves.abs() > 0.02), PITCH_CENTRE_HZ * 2.0**octaves, 0.0)
    return pitch.flatten(1).repeat_interleave(exact_div(MEL_FRAMES_PER_CODEC_FRAME, STEPS_PER_FRAME), dim=-1)
