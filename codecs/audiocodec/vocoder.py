"""Causal vocoder: log mel to sound, with three mel frames of look-ahead.

Causal nets read the mel frames and give three things. A filter for a pulse train of the pitch and one for
noise, at every mel frame (see ``render``); and, four times for every five mel frames,
the rest: short spectra with phases of their own (see rest.py). Pulses carry the voice and noise the whisper,
the rest what neither can: how a voice is rough, bursts, hissing sounds. All three can be learned outright
from a teacher that is built alike.

Frame t's filters cover two hops around the centre of mel frame t (see mel.py), the rest needs one frame more.
``VOCODER_DELAY`` hops of a stream's first output are therefore lead-in and carry no sound; a stream is ended
by feeding as many frames of silence.

Source: the source-filter idea in Engel et al. 2020, DDSP, arXiv 2001.04643; blocks and inverse-STFT head as
in Siuzdak 2023, Vocos, arXiv 2306.00814; pulses, noise and free phases side by side as in hibari's synthesis.
"""

from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from audiocodec.conv import ConvStack, ConvState
from audiocodec.mel import SILENCE
from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS
from audiocodec.rest import DELAY_HOPS, NoRest, RestNet, RestState
from audiocodec.sharpen import sharpened
from audiocodec.source import LOWEST_HZ, PulseState, initial_pulse_state, noise, pulses

VOCODER_DELAY = DELAY_HOPS  # mel frames of look-ahead
SYNTHESIS_LENGTH = 2 * MEL_HOP_LENGTH  # samples of one overlap-add frame
BINS = SYNTHESIS_LENGTH // 2 + 1
PITCH_REFERENCE_HZ = 200.0
MEL_CENTRE, MEL_SPREAD = -5.0, 3.0  # mean and deviation of log mel in speech, rounded
MAX_LOG_GAIN = 3.0
PULSE_SHARPER = (0.27, 16)  # see sharpen.py; over 16 bins (0.8 kHz) the teacher's deviation is 1.27 of ours
REST_SHARPER = (0.06, 40)  # the same over 40 bins (0.8 kHz)

StateT = TypeVar("StateT")


class Vocoder(Protocol[StateT]):
    """Anything that turns log mel frames into sound as they come."""

    @property
    def delay_frames(self) -> int:
        """Mel frames of look-ahead; that many hops at the start of the output are lead-in."""
        ...

    def initial_state(self, batch: int, seed: int = 0) -> StateT:
        """State before the first frame."""
        ...

    def synthesize(self, mel: Tensor, state: StateT, f0_hz: Tensor | None = None) -> tuple[Tensor, StateT]:
        """Map mel (B, n, N_MELS) to PCM (B, n * MEL_HOP_LENGTH), later by ``delay_frames`` hops."""
        ...


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """Sizes of the nets; stored with the weights."""

    layers: int = 6
    channels: int = 256
    hidden: int = 640
    kernel: int = 7
    rest_layers: int = 4  # 0: pulses and noise have to do
    pitch_layers: int = 3
    pitch_channels: int = 160


@dataclass(frozen=True, slots=True)
class VocoderState:
    """Small state, returned anew. The streams of a batch are at the same hop."""

    pitch: tuple[ConvState, ...]
    filters: tuple[ConvState, ...]
    pulse: PulseState
    seeds: Tensor  # (B,) int64
    hop: int  # hops rendered so far
    source: Tensor  # pulses and noise of the last hop, (B, 2, MEL_HOP_LENGTH)
    overlap: Tensor  # second half of the last frame, (B, MEL_HOP_LENGTH)
    ready: Tensor  # the last hop filtered, which waits for its rest, (B, MEL_HOP_LENGTH)
    rest: RestState


@dataclass(frozen=True, slots=True)
class Shaped:
    """What sound is made of, read from some mel frames, and the nets' next states."""

    pitch: Tensor  # (B, T, 2): log2(pitch / 200 Hz) and voicing logit, found in the mel frames
    f0_hz: Tensor  # (B, T) the pitch that counts, 0 where unvoiced
    filters: Tensor  # (B, T, 2 * BINS): log gains for the pulses and for the noise
    rest: Tensor  # (B, frames of the rest, 2 * REST_BINS): log gain and phase
    after: tuple[tuple[ConvState, ...], tuple[ConvState, ...], RestState]


class PitchNet(nn.Module):
    """Pitch and voicing from log mel, causal; frame t gives the pitch one hop after its centre."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.enter = nn.Linear(N_MELS, config.pitch_channels)
        self.stack = ConvStack(
            config.pitch_layers, config.pitch_channels, 2 * config.pitch_channels, config.kernel
        )
        self.leave = nn.Linear(config.pitch_channels, 2)

    def forward(self, mel: Tensor, state: tuple[ConvState, ...]) -> tuple[Tensor, tuple[ConvState, ...]]:
        """Map normalised mel (B, T, N_MELS) to (B, T, 2): log2(pitch / 200 Hz) and voicing logit."""
        y, state = self.stack(self.enter(mel), state)
        return self.leave(y), state


def synthesis_window() -> Tensor:
    """The window (SYNTHESIS_LENGTH,) of ``render``, once before and once after the filters."""
    return torch.sin(torch.pi * (torch.arange(SYNTHESIS_LENGTH) + 0.5) / SYNTHESIS_LENGTH)


def render(filters: Tensor, source: Tensor, overlap: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """Filter an excitation frame by frame and overlap-add.

    Args:
        filters: (B, T, 2 * BINS) log gains for the pulses and for the noise.
        source: (B, 2, (T + 1) * MEL_HOP_LENGTH) pulses and noise, from one hop before the first frame.
        overlap: (B, MEL_HOP_LENGTH) second half of the frame before.
        window: see ``synthesis_window``.

    Returns:
        PCM (B, T * MEL_HOP_LENGTH) and the second half of the last frame.
    """
    gains = torch.stack(filters.clamp_max(MAX_LOG_GAIN).exp().chunk(2, dim=-1), dim=1)
    spectra = torch.fft.rfft(source.unfold(-1, SYNTHESIS_LENGTH, MEL_HOP_LENGTH) * window)
    frames = (spectra * gains).sum(dim=1)
    halves = torch.fft.irfft(frames, n=SYNTHESIS_LENGTH) * window
    first, second = halves[..., :MEL_HOP_LENGTH], halves[..., MEL_HOP_LENGTH:]
    carried = torch.cat([overlap[:, None], second[:, :-1]], dim=1)
    return (first + carried).flatten(1), second[:, -1]


class SourceFilterVocoder(nn.Module):
    """The assistant's own vocoder."""

    window: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.pitch = PitchNet(config)
        self.enter = nn.Linear(N_MELS + 2, config.channels)
        self.stack = ConvStack(config.layers, config.channels, config.hidden, config.kernel)
        self.norm = nn.LayerNorm(config.channels)
        self.leave = nn.Linear(config.channels, 2 * BINS)
        with torch.no_grad():
            self.leave.weight.mul_(0.3)
            self.leave.bias.copy_(torch.tensor([-5.0, -7.0]).repeat_interleave(BINS))
        self.rest: RestNet | NoRest = NoRest()
        if config.rest_layers:
            self.rest = RestNet(config.channels, config.rest_layers, config.hidden, config.kernel)
        self.register_buffer("window", synthesis_window(), persistent=False)

    @property
    def delay_frames(self) -> int:
        """Mel frames of look-ahead."""
        return VOCODER_DELAY

    def initial_state(self, batch: int, seed: int = 0) -> VocoderState:
        """State before the first frame; ``seed`` fixes the noise."""
        device = self.window.device
        return VocoderState(
            pitch=self.pitch.stack.initial_state(batch),
            filters=self.stack.initial_state(batch),
            pulse=initial_pulse_state(batch, device),
            seeds=seed + torch.arange(batch, device=device),
            hop=0,
            source=torch.zeros(batch, 2, MEL_HOP_LENGTH, device=device),
            overlap=torch.zeros(batch, MEL_HOP_LENGTH, device=device),
            ready=torch.zeros(batch, MEL_HOP_LENGTH, device=device),
            rest=self.rest.initial_state(batch),
        )

    def forward(self, mel: Tensor, state: VocoderState, f0_hz: Tensor | None) -> Shaped:
        """Read mel (B, T, N_MELS).

        Args:
            mel: natural log of mel magnitudes.
            state: of the last call.
            f0_hz: (B, T) pitch, 0 where unvoiced; ``None`` lets the vocoder find it in the mel frames.
        """
        if mel.dim() != 3 or mel.shape[-1] != N_MELS:
            raise ValueError(f"mel frames of shape (B, T, {N_MELS}) are needed, got {tuple(mel.shape)}")
        scaled = (mel - MEL_CENTRE) / MEL_SPREAD
        heard, pitch_state = self.pitch(scaled, state.pitch)
        if f0_hz is None:
            f0_hz = torch.where(
                heard[..., 1] > 0, PITCH_REFERENCE_HZ * torch.exp2(heard[..., 0].float()), 0.0
            )
        voiced = (f0_hz > LOWEST_HZ).to(scaled.dtype)
        height = torch.log2(f0_hz.clamp_min(LOWEST_HZ) / PITCH_REFERENCE_HZ).to(scaled.dtype) * voiced
        melody = torch.stack([height, voiced], dim=-1)
        y, filter_state = self.stack(self.enter(torch.cat([scaled, melody], dim=-1)), state.filters)
        filters = self.leave(self.norm(y)).float()
        rest, rest_state = self.rest(torch.cat([y, melody], dim=-1), state.hop, state.rest)
        return Shaped(heard, f0_hz, filters, rest, (pitch_state, filter_state, rest_state))

    def sound(self, shaped: Shaped, state: VocoderState) -> tuple[Tensor, VocoderState]:
        """Make the sound (B, T * MEL_HOP_LENGTH), later by VOCODER_DELAY hops; ``state`` is that before."""
        hops = shaped.filters.shape[1]
        train, pulse_state = pulses(shaped.f0_hz, state.pulse)
        source = torch.stack([train, noise(state.seeds, state.hop, hops)], dim=1)
        excitation = torch.cat([state.source, source], dim=-1)
        made, overlap = render(shaped.filters, excitation, state.overlap, self.window)
        made = torch.cat([state.ready, made], dim=-1)
        pitch_state, filter_state, rest_state = shaped.after
        rest, tail = self.rest.sound(shaped.rest, state.hop, hops, rest_state.tail)
        after = VocoderState(
            pitch_state,
            filter_state,
            pulse_state,
            state.seeds,
            state.hop + hops,
            source[..., source.shape[-1] - MEL_HOP_LENGTH :],
            overlap,
            made[:, hops * MEL_HOP_LENGTH :],
            replace(rest_state, tail=tail),
        )
        return made[:, : hops * MEL_HOP_LENGTH] + rest, after

    def synthesize(
        self, mel: Tensor, state: VocoderState, f0_hz: Tensor | None = None
    ) -> tuple[Tensor, VocoderState]:
        """Map mel (B, n, N_MELS) to PCM (B, n * MEL_HOP_LENGTH), later by VOCODER_DELAY hops."""
        return self.sound(self(mel, state, f0_hz), state)


@torch.no_grad()
def enliven(vocoder: SourceFilterVocoder) -> None:
    """Sharpen the spectra of pulses and rest that a trained vocoder gives, in its place and once.

    Sharpening is linear, so it is done to the last layers and costs nothing afterwards. Not for training,
    which compares spectra as they are.
    """
    layers = [(vocoder.leave, PULSE_SHARPER)]
    if isinstance(vocoder.rest, RestNet):
        layers.append((vocoder.rest.leave, REST_SHARPER))
    for layer, sharper in layers:
        gains = layer.out_features // 2  # noise and phases follow them and stay
        for values in (layer.weight[:gains].t(), layer.bias[None, :gains]):
            values.copy_(sharpened(values[None].double(), *sharper)[0])


def vocode(vocoder: "Vocoder[StateT]", mel: Tensor, f0_hz: Tensor | None = None, seed: int = 0) -> Tensor:
    """Turn whole mel spectrograms (B, T, N_MELS) into PCM (B, T * MEL_HOP_LENGTH), with no lead-in."""
    pad = mel.new_full((mel.shape[0], vocoder.delay_frames, mel.shape[2]), SILENCE)
    if f0_hz is not None:
        f0_hz = torch.cat([f0_hz, f0_hz.new_zeros(f0_hz.shape[0], vocoder.delay_frames)], dim=1)
    pcm, _ = vocoder.synthesize(
        torch.cat([mel, pad], dim=1), vocoder.initial_state(mel.shape[0], seed), f0_hz
    )
    return pcm[:, vocoder.delay_frames * MEL_HOP_LENGTH :]
