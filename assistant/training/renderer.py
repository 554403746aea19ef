"""Kokoro at a tenth of its cost: its own nets up to the frames before its generator, and a small net in the
generator's place.

The generator is nine tenths of Kokoro's work. What it makes of the frames, the style and the pitch is taught
to a net like the assistant's vocoder, which gives filters for pulses and noise. It sounds a little like a
machine; voices, words, accents, pace and melody are Kokoro's own.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from assistant.training.accents import said_differently
from assistant.training.voices import DURATIONS, STYLE_WIDTH, Audio, Kokoro, Phonemes, feed, open_graph
from audiocodec.conv import ConvStack
from audiocodec.numbers import MEL_HOP_LENGTH
from audiocodec.source import LOWEST_HZ, initial_pulse_state, noise, pulses
from audiocodec.vocoder import BINS, PITCH_REFERENCE_HZ, VocoderConfig, render, synthesis_window

FRAMES, PITCH = "/decoder/decoder/decode.3/Div_4_output_0", "/decoder/decoder/Unsqueeze_output_0"
FRAME_WIDTH, FRAME_LENGTH = 512, 300  # samples of a frame: 80 Hz
TIMBRE_WIDTH = STYLE_WIDTH // 2  # the style's first half, which the generator reads
AHEAD_HOPS = 6  # that the net's last frame lies behind its newest input
FRAMES_SCALE = 0.4  # brings them to a deviation of about one


class Renderer(nn.Module):
    """Frames, timbre and pitch to sound."""

    window: Tensor

    def __init__(self, config: VocoderConfig | None = None) -> None:
        super().__init__()
        config = config or VocoderConfig()
        self.enter = nn.Linear(FRAME_WIDTH + TIMBRE_WIDTH + 2, config.channels)
        self.stack = ConvStack(config.layers, config.channels, config.hidden, config.kernel)
        self.norm = nn.LayerNorm(config.channels)
        self.leave = nn.Linear(config.channels, 2 * BINS)
        self.register_buffer("window", synthesis_window(), persistent=False)

    def forward(self, frames: Tensor, timbre: Tensor, f0_hz: Tensor, seed: int = 0) -> Tensor:
        """Map frames (B, T, FRAME_WIDTH), timbre (B, TIMBRE_WIDTH) and pitch (B, T) in Hz, 0 where unvoiced,
        to PCM (B, samples): all whole hops of the T * FRAME_LENGTH samples.
        """
        hops = frames.shape[1] * FRAME_LENGTH // MEL_HOP_LENGTH
        ends = torch.arange(1, hops + 1, device=frames.device) * MEL_HOP_LENGTH
        f0_hz = f0_hz[:, (ends // FRAME_LENGTH).clamp(max=frames.shape[1] - 1)]
        voiced = f0_hz > LOWEST_HZ
        height = torch.log2(f0_hz.clamp_min(LOWEST_HZ) / PITCH_REFERENCE_HZ) * voiced
        at_hops = functional.interpolate(
            FRAMES_SCALE * frames.transpose(1, 2), hops, mode="linear"
        ).transpose(1, 2)
        who = timbre[:, None].expand(-1, hops, -1)
        x = self.enter(torch.cat([at_hops, who, height[..., None], voiced[..., None]], dim=-1))
        x = functional.pad(x, (0, 0, 0, AHEAD_HOPS))
        y, _ = self.stack(x, self.stack.initial_state(len(x)))
        filters = self.leave(self.norm(y[:, AHEAD_HOPS:]))
        train, _ = pulses(f0_hz, initial_pulse_state(len(x), x.device))
        seeds = seed + torch.arange(len(x), device=x.device)
        source = functional.pad(torch.stack([train, noise(seeds, 0, hops)], dim=1), (MEL_HOP_LENGTH, 0))
        made, _ = render(filters.float(), source, x.new_zeros(len(x), MEL_HOP_LENGTH), self.window)
        return made


class Trunk:
    """Kokoro without its generator."""

    def __init__(self, model: Path) -> None:
        self.session = open_graph(model, only=(FRAMES, PITCH, DURATIONS))

    def __call__(self, tokens: list[int], style: Audio, rate: float) -> tuple[Audio, Audio, Audio]:
        """Give frames (T, FRAME_WIDTH), pitch (T,) in Hz, and the phonemes' durations with both pads."""
        frames, pitch, durations = self.session.run(None, feed(tokens, style, rate))
        return np.ascontiguousarray(frames[0].T), pitch.ravel(), durations.ravel()


class QuickKokoro(Kokoro):
    """Kokoro's voices, rendered by the small net; unless they are pure, with habits of speech, and half of
    them with the sound of one and the melody of another.
    """

    def __init__(
        self,
        model: Path,
        voices: Path,
        phonemes: Phonemes,
        renderer: Renderer,
        names: frozenset[str] | None = None,
    ) -> None:
        super().__init__(model, voices, phonemes, names)
        self.renderer = renderer

    def _open(self, model: Path) -> Any:
        return Trunk(model)

    def _said(self, phonemes: str, rng: np.random.Generator) -> str:
        return phonemes if self.pure else said_differently(phonemes, self.vocabulary, rng)

    def _draw(self, rng: np.random.Generator) -> tuple[str, Audio]:
        name, style = super()._draw(rng)
        if self.pure or rng.random() < 0.5:
            return name, style
        other, melody = super()._draw(rng)
        parted = np.concatenate([style[:, :TIMBRE_WIDTH], melody[:, TIMBRE_WIDTH:]], axis=1)
        return f"{name} as {other}", parted

    @torch.inference_mode()
    def sound(self, tokens: list[int], style: Audio, rate: float) -> tuple[Audio, Audio]:
        """See ``Kokoro.sound``."""
        frames, pitch, durations = self.session(tokens, style, rate)
        parts: list[NDArray[np.float32]] = [frames, style[:TIMBRE_WIDTH], pitch]
        pcm = self.renderer(*(torch.from_numpy(part)[None] for part in parts))
        return pcm[0].numpy(), durations
