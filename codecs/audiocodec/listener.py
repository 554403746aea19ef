"""The encoding half of the codec ``viva``: sound to eight codes a frame, semantic first, and what they stand
for.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from audiocodec.encoder import Encoder, EncoderConfig, EncoderState
from audiocodec.front_end import FrontEnd, FrontEndState
from audiocodec.interface import CodecSpec
from audiocodec.named import DIGITS, NamedCodebooks
from audiocodec.numbers import (
    CODEC_HOP_LENGTH,
    ENCODER_BLOCK_FRAMES,
    ENCODER_BLOCK_LENGTH,
    LISTEN_N_MELS,
    SAMPLE_RATE,
    exact_div,
)
from audiocodec.prosody import STEPS_PER_FRAME, Prosody
from audiocodec.reader import Reading, TokenReader
from audiocodec.rvq import ResidualCodebooks

SEMANTIC_BOOKS, PITCH_BOOKS, LOUDNESS_BOOKS, TIMBRE_BOOKS = DIGITS, 1, 1, 3
BOOK_SIZE = 2_048  # 11 bits
PITCH_WIDTH = 2 * STEPS_PER_FRAME  # pitch and voicing
TIMBRE_HALVES = 2  # spectra per codec frame
TIMBRE_WIDTH = 40  # principal components of the frame's spectra that are kept
MEL_PER_FRAME = 8  # mel frames of the front end per codec frame

SPEC = CodecSpec(
    name="viva",
    sample_rate=SAMPLE_RATE,
    hop_length=CODEC_HOP_LENGTH,
    codebooks=SEMANTIC_BOOKS + PITCH_BOOKS + LOUDNESS_BOOKS + TIMBRE_BOOKS,
    codebook_size=BOOK_SIZE,
    block_frames=ENCODER_BLOCK_FRAMES,
)


@dataclass(frozen=True, slots=True)
class ListenerState:
    """What a stream carries from block to block; values only, so a copy is a reference."""

    front_end: FrontEndState
    encoder: EncoderState
    prosody: Tensor
    late: tuple[Tensor, Tensor]  # prosody and spectra of the frames that the encoder has not given yet


@dataclass(frozen=True, slots=True)
class Frames:
    """Codec frames of some blocks: the codes, and the vectors that the codes stand for."""

    codes: Tensor  # (B, T, K) int64
    semantic: Tensor  # (B, T, frame width), first in the language model's space, then how it sounds
    prosody: Tensor  # (B, T, PROSODY_WIDTH): octaves, voicing, loudness of each 20 ms
    timbre: Tensor  # (B, T, TIMBRE_WIDTH)

    def after(self, count: int) -> "Frames":
        """All but the first ``count`` frames."""
        parts = (self.codes, self.semantic, self.prosody, self.timbre)
        return Frames(*(part[:, count:] for part in parts))


@dataclass(frozen=True, slots=True)
class RawFrames:
    """The same before quantisation; what codebooks are fitted on."""

    semantic: Tensor
    prosody: Tensor
    timbre: Tensor  # (B, T, TIMBRE_HALVES * 80) spectra in decades, loudness taken out


class Codebooks(nn.Module):
    """All codebooks of a frame. Pitch, loudness and timbre are named apart, so each can be read by itself."""

    components: Tensor
    centre: Tensor

    def __init__(self, frame_width: int) -> None:
        super().__init__()
        self.semantic = NamedCodebooks(BOOK_SIZE, frame_width)
        self.pitch = ResidualCodebooks(PITCH_BOOKS, BOOK_SIZE, PITCH_WIDTH)
        self.loudness = ResidualCodebooks(LOUDNESS_BOOKS, BOOK_SIZE, STEPS_PER_FRAME)
        self.timbre = ResidualCodebooks(TIMBRE_BOOKS, BOOK_SIZE, TIMBRE_WIDTH)
        self.register_buffer("components", torch.zeros(TIMBRE_HALVES * LISTEN_N_MELS, TIMBRE_WIDTH))
        self.register_buffer("centre", torch.zeros(TIMBRE_HALVES * LISTEN_N_MELS))

    def forward(self, raw: RawFrames, reader: TokenReader) -> Frames:
        """Name frames; their words as the reader finds them."""
        semantic_codes, semantic = self.semantic(raw.semantic, reader)
        pitch_codes, pitch = self.pitch(raw.prosody[..., :PITCH_WIDTH])
        loudness_codes, loudness = self.loudness(raw.prosody[..., PITCH_WIDTH:])
        timbre_codes, timbre = self.timbre((raw.timbre - self.centre) @ self.components)
        codes = torch.cat([semantic_codes, pitch_codes, loudness_codes, timbre_codes], dim=-1)
        return Frames(codes, semantic, torch.cat([pitch, loudness], dim=-1), timbre)

    def decode(self, codes: Tensor, reader: TokenReader) -> Frames:
        """Give what codes (B, T, K) stand for."""
        parts = torch.split(codes, [SEMANTIC_BOOKS, PITCH_BOOKS, LOUDNESS_BOOKS, TIMBRE_BOOKS], dim=-1)
        prosody = torch.cat([self.pitch.decode(parts[1]), self.loudness.decode(parts[2])], dim=-1)
        return Frames(codes, self.semantic.decode(parts[0], reader), prosody, self.timbre.decode(parts[3]))


class Listener(nn.Module):
    """Front end, encoder, prosody, reader and codebooks in one streaming step.

    Frames come ``delay`` frames late, because the encoder looks ahead: the first of a stream stand for the
    silence before it, and so many blocks of silence bring out its end.
    """

    def __init__(self, config: EncoderConfig, reader: TokenReader) -> None:
        super().__init__()
        self.front_end = FrontEnd()
        self.encoder, self.reader = Encoder(config), reader
        self.prosody = Prosody()
        self.codebooks = Codebooks(config.frame_width)
        self.delay = config.ahead_blocks * ENCODER_BLOCK_FRAMES  # codec frames

    def initial_state(self, batch: int) -> ListenerState:
        """Silence before the stream."""
        like = self.encoder.positions
        return ListenerState(
            self.front_end.initial_state(batch),
            self.encoder.initial_state(batch),
            self.prosody.initial_state(batch),
            (
                self.prosody.silence(batch, self.delay),
                like.new_zeros(batch, self.delay, TIMBRE_HALVES * LISTEN_N_MELS),
            ),
        )

    def hear(self, pcm: Tensor, state: ListenerState, stride: int = 1) -> tuple[RawFrames, ListenerState]:
        """Hear (B, n * ENCODER_BLOCK_LENGTH) samples at 24 kHz in one pass, unquantised: 2 n frames.

        ``stride`` is that of ``Encoder.forward``.
        """
        if pcm.shape[-1] % ENCODER_BLOCK_LENGTH:
            raise ValueError(f"got {pcm.shape[-1]} samples, need a multiple of {ENCODER_BLOCK_LENGTH}")
        mel, power, samples, front_end = self.front_end(pcm, state.front_end)
        _, semantic, encoder = self.encoder(mel, state.encoder, stride)
        prosody, past = self.prosody(samples, state.prosody)
        sounds = [torch.cat(pair, dim=1) for pair in zip(state.late, (prosody, spectra(power)), strict=True)]
        count = semantic.shape[1]
        raw = RawFrames(semantic, sounds[0][:, :count], sounds[1][:, :count])
        late = (sounds[0][:, count:], sounds[1][:, count:])
        return raw, ListenerState(front_end, encoder, past, late)

    def hear_all(self, pcm: Tensor, stride: int = 1) -> RawFrames:
        """Hear (B, samples) from silence to silence, the delay taken out: a frame for each begun 80 ms, of
        whole blocks.
        """
        blocks = -(-pcm.shape[-1] // ENCODER_BLOCK_LENGTH)
        moved = blocks + exact_div(self.delay, ENCODER_BLOCK_FRAMES)
        moved += -moved % stride
        sound = nn.functional.pad(pcm, (0, moved * ENCODER_BLOCK_LENGTH - pcm.shape[-1]))
        raw, _ = self.hear(sound, self.initial_state(len(pcm)), stride)
        here = slice(self.delay, self.delay + blocks * ENCODER_BLOCK_FRAMES)
        return RawFrames(raw.semantic[:, here], raw.prosody[:, here], raw.timbre[:, here])

    def forward(self, pcm: Tensor, state: ListenerState, stride: int = 1) -> tuple[Frames, ListenerState]:
        """Hear and name (B, n * ENCODER_BLOCK_LENGTH) samples at 24 kHz: 2 n frames.

        ``stride`` is that of ``Encoder.forward``.
        """
        raw, state = self.hear(pcm, state, stride)
        return self.name(raw), state

    def name(self, raw: RawFrames) -> Frames:
        """Give frames their codes."""
        frames: Frames = self.codebooks(raw, self.reader)
        return frames

    def decode(self, codes: Tensor) -> Frames:
        """Give what codes (B, T, K) stand for."""
        return self.codebooks.decode(codes, self.reader)

    def read(self, codes: Tensor) -> Reading:
        """Give what codes (..., K) say, of all of them or the first ones."""
        return self.codebooks.semantic.read(codes[..., :SEMANTIC_BOOKS], len(self.reader))


def spectra(power: Tensor) -> Tensor:
    """Mean spectra of each half of a codec frame in decades, without their loudness: (B, T, 160) of (B, 80, 8
    T).
    """
    batch, bands, _ = power.shape
    halves = power.reshape(batch, bands, -1, TIMBRE_HALVES, exact_div(MEL_PER_FRAME, TIMBRE_HALVES)).mean(
        dim=-1
    )
    frames = halves.permute(0, 2, 3, 1).flatten(2)  # (B, T, halves * bands)
    out: Tensor = (frames - frames.mean(dim=-1, keepdim=True)).clamp(-4, 4)
    return out


def config_of(values: dict[str, int]) -> EncoderConfig:
    """Read an encoder's configuration from what was stored beside its weights.

    Raises:
        ValueError: a name is unknown.
    """
    known = {field.name for field in fields(EncoderConfig)}
    if unknown := sorted(set(values) - known):
        raise ValueError(
            f"unknown encoder settings {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    return EncoderConfig(**values)
