"""Units stretched over time to pitch and log mel, causal over frames."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assistant.model.speaking.config import STYLES, MelHeadConfig
from assistant.model.speaking.prosody import ENERGY_CENTRE, ENERGY_SPREAD
from audiocodec.conv import ConvStack, ConvState
from audiocodec.numbers import N_MELS
from audiocodec.source import LOWEST_HZ
from audiocodec.vocoder import MEL_CENTRE, MEL_SPREAD, PITCH_REFERENCE_HZ

PLACE_FEATURES = 4
LONG_FRAMES = 20.0  # a span that counts as long


@dataclass(frozen=True, slots=True)
class FrameState:
    """Small state, returned anew."""

    pitch: tuple[ConvState, ...]
    mel: tuple[ConvState, ...]


def stretch(values: Tensor, spans: Tensor) -> Tensor:
    """Repeat each unit's row for as many frames as it lasts: (units, ...) to (frames, ...)."""
    return values.repeat_interleave(spans, dim=0)


def places(spans: Tensor) -> Tensor:
    """Tell every frame where it is in its unit: part gone, frames gone, frames left, the unit's length."""
    total = int(spans.sum())
    ends = spans.cumsum(0)
    gone = (torch.arange(total, device=spans.device) - (ends - spans).repeat_interleave(spans)).float()
    length = spans.repeat_interleave(spans).float()
    columns = (gone / length, gone / LONG_FRAMES, (length - gone) / LONG_FRAMES, length / LONG_FRAMES)
    return torch.stack([column.clamp_max(3) for column in columns], dim=-1)


class FrameNet(nn.Module):
    """Stretched features to pitch, then with pitch and energy to log mel."""

    def __init__(self, config: MelHeadConfig) -> None:
        super().__init__()
        size = config.width + PLACE_FEATURES
        self.pitch_enter = nn.Linear(size, config.pitch_width)
        self.pitch = ConvStack(config.pitch_layers, config.pitch_width, 2 * config.pitch_width, config.kernel)
        self.pitch_leave = nn.Linear(config.pitch_width, 2)
        self.styles = nn.Embedding(len(STYLES), config.width)
        self.enter = nn.Linear(size + 3, config.width)
        self.stack = ConvStack(config.decoder_layers, config.width, config.decoder_hidden, config.kernel)
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, N_MELS)

    def initial_state(self, batch: int) -> FrameState:
        """State before the first frame of a sentence."""
        return FrameState(self.pitch.initial_state(batch), self.stack.initial_state(batch))

    def intone(self, features: Tensor, state: tuple[ConvState, ...]) -> tuple[Tensor, tuple[ConvState, ...]]:
        """Map (B, T, width + PLACE_FEATURES) to (B, T, 2): log2(pitch / 200 Hz) and voicing logit."""
        x, state = self.pitch(self.pitch_enter(features), state)
        return self.pitch_leave(x), state

    def paint(
        self, features: Tensor, f0_hz: Tensor, energy: Tensor, styles: Tensor, state: tuple[ConvState, ...]
    ) -> tuple[Tensor, tuple[ConvState, ...]]:
        """Map features (B, T, ...), pitch (B, T; 0: unvoiced), energy (B, T), styles (B,) to log mel."""
        voiced = (f0_hz > LOWEST_HZ).to(features.dtype)
        height = torch.log2(f0_hz.clamp_min(LOWEST_HZ) / PITCH_REFERENCE_HZ).to(features.dtype) * voiced
        loud = ((energy - ENERGY_CENTRE) / ENERGY_SPREAD).to(features.dtype)
        x = self.enter(torch.cat([features, torch.stack([height, voiced, loud], dim=-1)], dim=-1))
        x, state = self.stack(x + self.styles(styles)[:, None], state)
        return self.leave(self.norm(x)).float() * MEL_SPREAD + MEL_CENTRE, state
