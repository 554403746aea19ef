"""The ear: sound to five codes a frame, what was said first and then how, and what the codes stand for."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from audiocodec.encoder import Encoder, EncoderConfig, EncoderState
from audiocodec.front_end import FrontEnd, FrontEndState
from audiocodec.named import DIGITS, NamedCodebooks
from audiocodec.numbers import ENCODER_BLOCK_FRAMES, ENCODER_BLOCK_LENGTH, exact_div
from audiocodec.prosody import STEPS_PER_FRAME, Prosody
from audiocodec.reader import LIKELY, Reading, TokenReader, read_frames
from audiocodec.rvq import ResidualCodebooks

PITCH_BOOKS, LOUDNESS_BOOKS = 1, 1
EAR_BOOKS = DIGITS + PITCH_BOOKS + LOUDNESS_BOOKS
BOOK_SIZE = 2_048  # 11 bits
PITCH_WIDTH = 2 * STEPS_PER_FRAME  # pitch and voicing


@dataclass(frozen=True, slots=True)
class ListenerState:
    """What a stream carries from block to block; values only, so a copy is a reference."""

    front_end: FrontEndState
    encoder: EncoderState
    prosody: Tensor
    late: Tensor  # prosody of the frames that the encoder has not given yet


@dataclass(frozen=True, slots=True)
class Frames:
    """Codec frames of some blocks: the codes, and the vectors that the codes stand for."""

    codes: Tensor  # (B, T, K) int64
    semantic: Tensor  # (B, T, frame width), first in the language model's space, then how it sounds
    prosody: Tensor  # (B, T, PROSODY_WIDTH): octaves, voicing, loudness of each 20 ms
    reading: Reading  # (B, T): all that the ear found, or what is left of that in codes


@dataclass(frozen=True, slots=True)
class RawFrames:
    """The same before quantisation, which codebooks are fitted on, and what no code keeps."""

    semantic: Tensor
    prosody: Tensor
    acoustic: Tensor  # (B, T, width): the sound as the encoder's window knows it, before any words

    def frames(self, part: slice) -> "RawFrames":
        """Some frames of all."""
        return RawFrames(self.semantic[:, part], self.prosody[:, part], self.acoustic[:, part])


class Codebooks(nn.Module):
    """All codebooks of a frame. Pitch and loudness are named apart, so each can be read by itself."""

    def __init__(self, frame_width: int) -> None:
        super().__init__()
        self.semantic = NamedCodebooks(BOOK_SIZE, frame_width)
        self.pitch = ResidualCodebooks(PITCH_BOOKS, BOOK_SIZE, PITCH_WIDTH)
        self.loudness = ResidualCodebooks(LOUDNESS_BOOKS, BOOK_SIZE, STEPS_PER_FRAME)

    def forward(self, raw: RawFrames, reader: TokenReader) -> Frames:
        """Name frames; their words as the reader finds them."""
        reading = read_frames(reader, raw.semantic, LIKELY)
        names = self.semantic.spell(reading, len(reader))
        pitch_codes, pitch = self.pitch(raw.prosody[..., :PITCH_WIDTH])
        loudness_codes, loudness = self.loudness(raw.prosody[..., PITCH_WIDTH:])
        codes = torch.cat([names, pitch_codes, loudness_codes], dim=-1)
        prosody = torch.cat([pitch, loudness], dim=-1)
        return Frames(codes, self.semantic.decode(names, reader), prosody, reading)

    def decode(self, codes: Tensor, reader: TokenReader) -> Frames:
        """Give what codes (B, T, K) stand for."""
        names, how = codes[..., :DIGITS], codes[..., DIGITS:]
        reading = self.semantic.read(names, len(reader))
        return Frames(codes, self.semantic.decode(names, reader), self.prosody(how), reading)

    def prosody(self, codes: Tensor) -> Tensor:
        """Give the prosody (B, T, PROSODY_WIDTH) that the codes behind the names (B, T, 2) stand for."""
        pitch, loudness = torch.split(codes, [PITCH_BOOKS, LOUDNESS_BOOKS], dim=-1)
        return torch.cat([self.pitch.decode(pitch), self.loudness.decode(loudness)], dim=-1)


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
        return ListenerState(
            self.front_end.initial_state(batch),
            self.encoder.initial_state(batch),
            self.prosody.initial_state(batch),
            self.prosody.silence(batch, self.delay),
        )

    def hear(self, pcm: Tensor, state: ListenerState, stride: int = 1) -> tuple[RawFrames, ListenerState]:
        """Hear (B, n * ENCODER_BLOCK_LENGTH) samples at 24 kHz in one pass, unquantised: 2 n frames.

        ``stride`` is that of ``Encoder.forward``.
        """
        if pcm.shape[-1] % ENCODER_BLOCK_LENGTH:
            raise ValueError(f"got {pcm.shape[-1]} samples, need a multiple of {ENCODER_BLOCK_LENGTH}")
        mel, _, samples, front_end = self.front_end(pcm, state.front_end)
        hidden, semantic, encoder = self.encoder(mel, state.encoder, stride)
        prosody, past = self.prosody(samples, state.prosody)
        prosody, count = torch.cat([state.late, prosody], dim=1), semantic.shape[1]
        acoustic = hidden.unflatten(1, (count, -1)).mean(dim=2)
        raw = RawFrames(semantic, prosody[:, :count], acoustic)
        return raw, ListenerState(front_end, encoder, past, prosody[:, count:])

    def hear_all(self, pcm: Tensor, stride: int = 1) -> RawFrames:
        """Hear (B, samples) from silence to silence, the delay taken out: a frame for each begun 80 ms, of
        whole blocks.
        """
        blocks = -(-pcm.shape[-1] // ENCODER_BLOCK_LENGTH)
        moved = blocks + exact_div(self.delay, ENCODER_BLOCK_FRAMES)
        moved += -moved % stride
        sound = nn.functional.pad(pcm, (0, moved * ENCODER_BLOCK_LENGTH - pcm.shape[-1]))
        raw, _ = self.hear(sound, self.initial_state(len(pcm)), stride)
        return raw.frames(slice(self.delay, self.delay + blocks * ENCODER_BLOCK_FRAMES))

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
        return self.codebooks.semantic.read(codes[..., :DIGITS], len(self.reader))


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
