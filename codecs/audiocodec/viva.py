"""The project's own codec: eight codes a frame, 12.5 frames a second, 1.1 kbit/s, both ways as a stream.

Five codes are the ear's: what was said, pitch and loudness. Three more, which only the way back needs, tell
how it sounded; where the ear is sure that nothing new was said, the places of its names tell more of that,
and the stream's colour. Decoding turns them into log mel by a small causal net, gives it that colour, and
makes sound of it by a vocoder.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from audiocodec.colour import COLOURS, Colour, ColourState, PaintingState
from audiocodec.interface import CodecSpec
from audiocodec.listener import BOOK_SIZE, EAR_BOOKS, Listener, ListenerState
from audiocodec.mel import SILENCE, LogMel, MelState
from audiocodec.mel_decoder import DecoderState, MelDecoder
from audiocodec.named import DIGITS, filled, free, spare_of
from audiocodec.numbers import (
    CODEC_HOP_LENGTH,
    ENCODER_BLOCK_FRAMES,
    MEL_FRAMES_PER_CODEC_FRAME,
    N_MELS,
    SAMPLE_RATE,
)
from audiocodec.prosody import pitch_per_mel_frame
from audiocodec.sound_codes import SOUND_BOOKS, SoundCoder, SoundCoderState, sound_of, spelled
from audiocodec.vocoder import Vocoder

SPEC = CodecSpec(
    name="viva",
    sample_rate=SAMPLE_RATE,
    hop_length=CODEC_HOP_LENGTH,
    codebooks=EAR_BOOKS + SOUND_BOOKS,
    codebook_size=BOOK_SIZE,
    block_frames=ENCODER_BLOCK_FRAMES,
)
V = TypeVar("V")  # the vocoder's state


@dataclass(frozen=True, slots=True)
class VivaEncoding:
    """State of encoding."""

    listener: ListenerState
    mel: MelState
    coder: SoundCoderState
    late: Tensor  # log mel of the frames that the ear has not given yet
    colour: ColourState


@dataclass(frozen=True, slots=True)
class VivaDecoding(Generic[V]):
    """State of decoding."""

    mel: DecoderState
    colour: PaintingState
    vocoder: V


class VivaCodec(nn.Module, Generic[V]):
    """The codec behind the common interface. Decoded sound comes later by the vocoder's look-ahead."""

    def __init__(
        self,
        listener: Listener,
        coder: SoundCoder,
        colour: Colour,
        decoder: MelDecoder,
        vocoder: Vocoder[V],
    ) -> None:
        """
        Raises:
            ValueError: the ear and the net that names sounds wait for different frames.
        """
        super().__init__()
        if coder.config.ahead != listener.delay:
            raise ValueError(
                f"the sound's codes come {coder.config.ahead} frames late and the ear's {listener.delay}:"
                " train the codec for this ear"
            )
        self.listener, self.coder, self.colour = listener, coder, colour
        self.decoder, self.vocoder = decoder, vocoder
        self.log_mel = LogMel()

    @property
    def spec(self) -> CodecSpec:
        """The codec's fixed numbers."""
        return replace(SPEC, delay_frames=self.listener.delay)

    def initial_encoding(self, batch: int) -> VivaEncoding:
        """State before the first sample."""
        return VivaEncoding(
            self.listener.initial_state(batch),
            self.log_mel.initial_state(batch),
            self.coder.initial_state(batch),
            torch.full((batch, self.listener.delay * MEL_FRAMES_PER_CODEC_FRAME, N_MELS), SILENCE),
            self.colour.initial_state(batch),
        )

    @torch.inference_mode()
    def encode(self, pcm: Tensor, state: VivaEncoding) -> tuple[Tensor, VivaEncoding]:
        """Turn (B, n * block_length) samples into codes (B, K, n * block_frames)."""
        frames, listening = self.listener(pcm, state.listener)
        mel, spectrum = self.log_mel(pcm, state.mel)
        numbers, coding = self.coder(mel, state.coder)
        sound, spare = spelled(numbers)
        names, how = frames.codes[..., :DIGITS], frames.codes[..., DIGITS:]
        behind, late = torch.split(
            torch.cat([state.late, mel], dim=1), [mel.shape[1], state.late.shape[1]], dim=1
        )
        told, colour = self.colour.tell(behind, frames.prosody, free(names, BOOK_SIZE), state.colour)
        names = filled(names, spare * COLOURS.size + told, BOOK_SIZE)
        codes = torch.cat([names, how, sound], dim=-1)
        return codes.transpose(1, 2), VivaEncoding(listening, spectrum, coding, late, colour)

    def initial_decoding(self, batch: int) -> VivaDecoding[V]:
        """State before the first frame."""
        return VivaDecoding(
            self.decoder.initial_state(batch),
            self.colour.initial_painting(batch),
            self.vocoder.initial_state(batch),
        )

    @torch.inference_mode()
    def decode(self, codes: Tensor, state: VivaDecoding[V]) -> tuple[Tensor, VivaDecoding[V]]:
        """Turn codes (B, K, T) into (B, T * CODEC_HOP_LENGTH) samples."""
        if codes.shape[1] != SPEC.codebooks:
            raise ValueError(f"got {codes.shape[1]} codebooks, need {SPEC.codebooks}")
        names, how, books = torch.split(
            codes.transpose(1, 2), [DIGITS, EAR_BOOKS - DIGITS, SOUND_BOOKS], dim=-1
        )
        prosody = self.listener.codebooks.prosody(how)
        room, spare = free(names, BOOK_SIZE), spare_of(names, BOOK_SIZE)
        sound = sound_of(books, spare // COLOURS.size, room)
        mel, decoding = self.decoder(prosody, sound, state.mel)
        mel, colour = self.colour.paint(mel, prosody, spare % COLOURS.size, room, state.colour)
        mel = mel.clamp(min=SILENCE)
        pcm, vocoding = self.vocoder.synthesize(mel, state.vocoder, pitch_per_mel_frame(prosody))
        assert pcm.shape[-1] == codes.shape[-1] * CODEC_HOP_LENGTH
        return pcm, VivaDecoding(decoding, colour, vocoding)
