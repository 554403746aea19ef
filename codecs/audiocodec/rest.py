"""The rest of a voice: what neither pulses nor noise can say, as short spectra with phases of their own.

Frames of the rest lie 12.5 ms apart, four for five mel frames, and last 50 ms less the first quarter, which
hardly sounds and would have to be known earlier. Frame j is centred at the centre of mel frame 1.25 j (see
mel.py) and made of what is known a quarter of a mel frame before that, so that its sound is complete
``VOCODER_DELAY`` mel frames later.

Source: the teacher's synthesis (hibari-tts), whose third part it is.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from audiocodec.conv import ConvStack, ConvState
from audiocodec.numbers import MEL_HOP_LENGTH

REST_HOP = 300  # samples
REST_LENGTH = 1_200
REST_BINS = REST_LENGTH // 2 + 1
GROUP_HOPS = 5  # mel frames in which frames of mel and of the rest come to lie on each other
LATEST = 3 * REST_LENGTH // 4  # samples of a frame that sound
DELAY_HOPS = 3  # of the sound behind the mel frames, see vocoder.py
REST_SCALE = math.sqrt(REST_LENGTH * 0.375)  # the transform's root mean square for noise of deviation 1
MAX_LOG_GAIN = 3.0


@dataclass(frozen=True, slots=True)
class RestState:
    """Small state, returned anew."""

    last: Tensor  # what came with the last mel frame, (B, 1, C + 2)
    stack: tuple[ConvState, ...]
    tail: Tensor  # sound that is not yet complete, (B, LATEST), from the next hop to be given on


def frames_before(hops: int) -> int:
    """How many frames are made of the first so many mel frames."""
    return (4 * hops + 2) // GROUP_HOPS


class NoRest(nn.Module):
    """In place of the net where pulses and noise have to do: frames come, and they are none."""

    nothing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("nothing", torch.zeros(0), persistent=False)

    def initial_state(self, batch: int) -> RestState:
        """State before the first mel frame."""
        none = self.nothing.new_zeros(batch, 1, 0)
        return RestState(none, (), self.nothing.new_zeros(batch, LATEST))

    def forward(self, features: Tensor, hop: int, state: RestState) -> tuple[Tensor, RestState]:
        """No spectra for any features."""
        return features.new_zeros(len(features), 0, 2 * REST_BINS, dtype=torch.float32), state

    def sound(self, spectra: Tensor, hop: int, hops: int, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Silence (B, hops * MEL_HOP_LENGTH)."""
        return tail.new_zeros(len(tail), hops * MEL_HOP_LENGTH), tail


class RestNet(nn.Module):
    """Features per mel frame to the rest's spectra and sound."""

    window: Tensor
    fade: Tensor

    def __init__(self, channels: int, layers: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.enter = nn.Linear(channels + 2, channels)
        self.stack = ConvStack(layers, channels, hidden, kernel)
        self.norm = nn.LayerNorm(channels)
        self.leave = nn.Linear(channels, 2 * REST_BINS)
        with torch.no_grad():
            self.leave.weight.mul_(0.3)
            self.leave.bias.copy_(torch.tensor([-7.0, 0.0]).repeat_interleave(REST_BINS))
        window = torch.hann_window(REST_LENGTH)
        kept = window * (torch.arange(REST_LENGTH) >= REST_LENGTH - LATEST)
        share = (window * kept).view(-1, REST_HOP).sum(0)  # of every sample, by where it is in its hop
        scaled = (kept.view(-1, REST_HOP) / share).flatten() * REST_SCALE
        self.register_buffer("fade", scaled[REST_LENGTH - LATEST :], persistent=False)

    def initial_state(self, batch: int) -> RestState:
        """State before the first mel frame."""
        like = self.norm.weight
        return RestState(
            like.new_zeros(batch, 1, self.enter.in_features),
            self.stack.initial_state(batch),
            like.new_zeros(batch, LATEST, dtype=torch.float32),
        )

    def forward(self, features: Tensor, hop: int, state: RestState) -> tuple[Tensor, RestState]:
        """Map features (B, n, C + 2) of mel frames ``hop`` and following to spectra.

        Returns:
            (B, frames, 2 * REST_BINS) log gain (0 is that of noise of deviation 1) and phase; the next state,
            whose sound ``sound`` makes.
        """
        known = torch.cat([state.last.to(features.dtype), features], dim=1)
        first, after = frames_before(hop), frames_before(hop + features.shape[1])
        if first == after:
            nothing = features.new_zeros(len(features), 0, 2 * REST_BINS, dtype=torch.float32)
            return nothing, RestState(known[:, -1:], state.stack, state.tail)
        y, stack = self.stack(self.enter(self.between(known, hop, first, after)), state.stack)
        return self.leave(self.norm(y)).float(), RestState(known[:, -1:], stack, state.tail)

    def between(self, known: Tensor, hop: int, first: int, after: int) -> Tensor:
        """Interpolate rows, those of mel frame ``hop`` - 1 and following, at some frames of the rest."""
        place = torch.arange(first, after, device=known.device) * 1.25 - 0.25 - (hop - 1)
        low = place.floor().long().clamp(0, known.shape[1] - 2)
        part = (place - low)[:, None].to(known.dtype)
        return torch.lerp(known[:, low], known[:, low + 1], part)

    def sound(self, spectra: Tensor, hop: int, hops: int, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Add up the frames that come with mel frames ``hop`` to ``hop + hops``, and those before.

        Args:
            spectra: (B, K, 2 * REST_BINS) from ``forward``.
            hop: mel frames before.
            hops: mel frames that the spectra came with.
            tail: (B, LATEST) sound that was not complete before.

        Returns:
            PCM (B, hops * MEL_HOP_LENGTH) from ``DELAY_HOPS`` before ``hop``, and the sound that is not yet
            complete.
        """
        pcm = functional.pad(tail, (0, hops * MEL_HOP_LENGTH))
        if spectra.shape[1]:
            made = self.overlapped(spectra)
            centre = REST_HOP * frames_before(hop) - MEL_HOP_LENGTH  # of the first frame, in the stream
            start = centre - (LATEST - REST_LENGTH // 2) - (hop - DELAY_HOPS) * MEL_HOP_LENGTH
            pcm[:, start : start + made.shape[1]] += made
        return pcm[:, : hops * MEL_HOP_LENGTH], pcm[:, hops * MEL_HOP_LENGTH :]

    def overlapped(self, spectra: Tensor) -> Tensor:
        """Add up frames (B, K, 2 * REST_BINS) where they overlap: (B, (K + 2) * REST_HOP)."""
        gain, angle = spectra.chunk(2, dim=-1)
        frames = torch.fft.irfft(torch.polar(gain.clamp_max(MAX_LOG_GAIN).exp(), angle), n=REST_LENGTH)
        parts = (frames[..., REST_LENGTH - LATEST :] * self.fade).view(*frames.shape[:2], 3, REST_HOP)
        made = parts.new_zeros(len(parts), parts.shape[1] + 2, REST_HOP)
        for late in range(3):
            made[:, late : late + parts.shape[1]] += parts[:, :, late]
        pcm: Tensor = made.flatten(1)
        return pcm
