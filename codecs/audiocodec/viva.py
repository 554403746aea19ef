"""The project's own codec: eight codes a frame, 12.5 frames a second, 1.1 kbit/s, both ways as a stream.

Encoding is ``listener``'s. Decoding turns what the codes stand for into log mel by a small causal net, and
log mel into sound by the vocoder that also speaks the answers.
"""

from dataclasses import asdict, dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from audiocodec.conv import ConvStack, ConvState
from audiocodec.interface import CodecSpec
from audiocodec.listener import SPEC, TIMBRE_WIDTH, Frames, Listener, ListenerState
from audiocodec.mel import SILENCE
from audiocodec.numbers import CODEC_HOP_LENGTH, MEL_FRAMES_PER_CODEC_FRAME, N_MELS
from audiocodec.prosody import PITCH_CENTRE_HZ, PROSODY_WIDTH, STEPS_PER_FRAME
from audiocodec.vocoder import Vocoder

MEL_CENTRE, MEL_SPREAD = -5.0, 2.5  # brings log mel to about -2..2
V = TypeVar("V")  # the vocoder's state


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the net from codes to mel."""

    model_width: int = 576
    coarse: int = 320  # channels at 12.5 Hz
    fine: int = 192  # channels at 100 Hz
    coarse_blocks: int = 3
    fine_blocks: int = 4
    kernel: int = 5

    def to_dict(self) -> dict[str, int]:
        """The configuration as it is stored beside the weights."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DecoderState:
    """Convolutions' tails. A value: each step gives a new one."""

    coarse: tuple[ConvState, ...]
    fine: tuple[ConvState, ...]


class MelDecoder(nn.Module):
    """What the codes of a frame stand for to eight frames of log mel; causal, no look-ahead."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Linear(config.model_width, config.coarse)
        self.sound = nn.Linear(PROSODY_WIDTH + TIMBRE_WIDTH, config.coarse)
        self.coarse = ConvStack(config.coarse_blocks, config.coarse, 3 * config.coarse, config.kernel)
        self.widen = nn.Linear(config.coarse, MEL_FRAMES_PER_CODEC_FRAME * config.fine)
        self.fine = ConvStack(config.fine_blocks, config.fine, 3 * config.fine, config.kernel)
        self.out = nn.Linear(config.fine, N_MELS)

    def initial_state(self, batch: int) -> DecoderState:
        """State before the first frame."""
        return DecoderState(self.coarse.initial_state(batch), self.fine.initial_state(batch))

    def forward(self, frames: Frames, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Map frames (B, T) to log mel (B, 8 T, N_MELS)."""
        sound = torch.cat([frames.prosody, frames.timbre], dim=-1)
        x = self.words(frames.semantic[..., : self.config.model_width] / 3) + self.sound(sound)
        x, coarse = self.coarse(x, state.coarse)
        batch, time, _ = x.shape
        x = self.widen(x).view(batch, time * MEL_FRAMES_PER_CODEC_FRAME, self.config.fine)
        x, fine = self.fine(x, state.fine)
        mel = (self.out(x) * MEL_SPREAD + MEL_CENTRE).clamp(min=SILENCE)
        return mel, DecoderState(coarse, fine)


def pitch_per_mel_frame(prosody: Tensor) -> Tensor:
    """Pitch in Hz of each mel frame, 0 where unvoiced: (B, 8 T) of prosody (B, T, PROSODY_WIDTH)."""
    octaves, voicing = prosody[..., :STEPS_PER_FRAME], prosody[..., STEPS_PER_FRAME : 2 * STEPS_PER_FRAME]
    pitch = torch.where((voicing > 0.5) & (octaves.abs() > 0.02), PITCH_CENTRE_HZ * 2.0**octaves, 0.0)
    return pitch.flatten(1).repeat_interleave(MEL_FRAMES_PER_CODEC_FRAME // STEPS_PER_FRAME, dim=-1)


@dataclass(frozen=True, slots=True)
class VivaDecoding(Generic[V]):
    """State of decoding."""

    mel: DecoderState
    vocoder: V


class VivaCodec(nn.Module, Generic[V]):
    """The codec behind the common interface. Decoded sound comes later by the vocoder's look-
    ahead (20 ms).
    """

    def __init__(self, listener: Listener, decoder: MelDecoder, vocoder: Vocoder[V]) -> None:
        super().__init__()
        self.listener, self.decoder, self.vocoder = listener, decoder, vocoder

    @property
    def spec(self) -> CodecSpec:
        """The codec's fixed numbers."""
        return replace(SPEC, delay_frames=self.listener.delay)

    def initial_encoding(self, batch: int) -> ListenerState:
        """State before the first sample."""
        return self.listener.initial_state(batch)

    @torch.inference_mode()
    def encode(self, pcm: Tensor, state: ListenerState) -> tuple[Tensor, ListenerState]:
        """Turn (B, n * block_length) samples into codes (B, K, n * block_frames)."""
        frames, state = self.listener(pcm, state)
        return frames.codes.transpose(1, 2), state

    def initial_decoding(self, batch: int) -> VivaDecoding[V]:
        """State before the first frame."""
        return VivaDecoding(self.decoder.initial_state(batch), self.vocoder.initial_state(batch))

    @torch.inference_mode()
    def decode(self, codes: Tensor, state: VivaDecoding[V]) -> tuple[Tensor, VivaDecoding[V]]:
        """Turn codes (B, K, T) into (B, T * CODEC_HOP_LENGTH) samples."""
        if codes.shape[1] != SPEC.codebooks:
            raise ValueError(f"got {codes.shape[1]} codebooks, need {SPEC.codebooks}")
        frames = self.listener.decode(codes.transpose(1, 2))
        mel, decoding = self.decoder(frames, state.mel)
        pcm, vocoding = self.vocoder.synthesize(mel, state.vocoder, pitch_per_mel_frame(frames.prosody))
        assert pcm.shape[-1] == codes.shape[-1] * CODEC_HOP_LENGTH
        return pcm, VivaDecoding(decoding, vocoding)
