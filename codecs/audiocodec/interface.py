"""What every codec here can do: whole blocks of sound to codes and back, with the streaming state passed in
and out.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor
from torch.nn.functional import pad

S = TypeVar("S")  # encoding state
D = TypeVar("D")  # decoding state


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """The fixed numbers of a codec."""

    name: str
    sample_rate: int  # Hz
    hop_length: int  # samples per codec frame
    codebooks: int  # K
    codebook_size: int
    block_frames: int  # frames that are encoded and decoded at once
    delay_frames: int = 0  # by which codes come after the sound that they stand for

    @property
    def frame_rate(self) -> float:
        """Codec frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def bitrate(self) -> float:
        """Bits per second of the codes."""
        return self.frame_rate * self.codebooks * (self.codebook_size - 1).bit_length()

    @property
    def block_length(self) -> int:
        """Samples per block."""
        return self.block_frames * self.hop_length


class Codec(Protocol[S, D]):
    """A streaming codec. Encoding or decoding in any number of whole blocks at a time gives
    the same result.
    """

    @property
    def spec(self) -> CodecSpec:
        """The codec's fixed numbers."""
        ...

    def initial_encoding(self, batch: int) -> S:
        """State before the first sample."""
        ...

    def encode(self, pcm: Tensor, state: S) -> tuple[Tensor, S]:
        """Turn (B, n * block_length) samples in [-1, 1] into codes (B, K, n * block_frames), int64."""
        ...

    def initial_decoding(self, batch: int) -> D:
        """State before the first frame."""
        ...

    def decode(self, codes: Tensor, state: D) -> tuple[Tensor, D]:
        """Turn codes (B, K, n * block_frames) into (B, n * block_length) samples."""
        ...


def whole_blocks(pcm: Tensor, spec: CodecSpec) -> Tensor:
    """Lengthen (B, samples) by silence to whole blocks, and by so many that all codes come out."""
    behind = spec.delay_frames * spec.hop_length
    return pad(pcm, (0, behind + -(pcm.shape[-1] + behind) % spec.block_length))
