"""How a frame sounds, in three codes; and in more where its words need no names.

A causal net reads the mel frames of the sound. It names a frame when it has heard ``ahead`` more, as late as
the ear, so a code can say what comes after it as well; and of the frame before, what did not fit.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from audiocodec.conv import ConvStack, ConvState
from audiocodec.numbers import MEL_FRAMES_PER_CODEC_FRAME, N_MELS
from audiocodec.scalar_codes import ScalarCodes

SOUND_BOOKS = 3
BOOK = ScalarCodes((8, 8, 8, 4))  # one of them: 11 bits
SPARE = ScalarCodes((4,) * 9)  # 18 bits, where there is room; 9 more tell the colour
SOUND_WIDTH = SOUND_BOOKS * len(BOOK.levels)
ALL = ScalarCodes(BOOK.levels * SOUND_BOOKS + SPARE.levels)
MEL_CENTRE, MEL_SPREAD = -5.0, 2.5  # brings log mel to about -2..2


@dataclass(frozen=True)
class SoundCoderConfig:
    """Sizes of the net."""

    coarse: int = 384  # channels at 12.5 Hz
    fine: int = 160  # channels at 100 Hz
    coarse_blocks: int = 4
    fine_blocks: int = 3
    kernel: int = 5
    ahead: int = 4  # codec frames that are heard before one is named

    def to_dict(self) -> dict[str, int]:
        """The configuration as it is stored beside the weights."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SoundCoderState:
    """Convolutions' tails. A value: each step gives a new one."""

    fine: tuple[ConvState, ...]
    coarse: tuple[ConvState, ...]


class SoundCoder(nn.Module):
    """Log mel to numbers that ``ALL`` rounds."""

    def __init__(self, config: SoundCoderConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Linear(N_MELS, config.fine)
        self.fine = ConvStack(config.fine_blocks, config.fine, 3 * config.fine, config.kernel)
        self.narrow = nn.Linear(MEL_FRAMES_PER_CODEC_FRAME * config.fine, config.coarse)
        self.coarse = ConvStack(config.coarse_blocks, config.coarse, 3 * config.coarse, config.kernel)
        self.norm = nn.LayerNorm(config.coarse)
        self.leave = nn.Linear(config.coarse, len(ALL.levels))

    def initial_state(self, batch: int) -> SoundCoderState:
        """State before the first mel frame."""
        return SoundCoderState(self.fine.initial_state(batch), self.coarse.initial_state(batch))

    def forward(self, mel: Tensor, state: SoundCoderState) -> tuple[Tensor, SoundCoderState]:
        """Map log mel (B, 8 T, N_MELS) to free numbers (B, T, len(ALL.levels)), those of ``ahead`` frames
        before.
        """
        x, fine = self.fine(self.enter((mel - MEL_CENTRE) / MEL_SPREAD), state.fine)
        x = self.narrow(x.reshape(len(x), -1, MEL_FRAMES_PER_CODEC_FRAME * self.config.fine))
        x, coarse = self.coarse(x, state.coarse)
        numbers: Tensor = self.leave(self.norm(x))
        return numbers, SoundCoderState(fine, coarse)


def spelled(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (B, T, SOUND_BOOKS) of free numbers, and the code of the rest (B, T)."""
    books = numbers[..., :SOUND_WIDTH].reshape(*numbers.shape[:-1], SOUND_BOOKS, len(BOOK.levels))
    return BOOK.spell(books), SPARE.spell(numbers[..., SOUND_WIDTH:])


def sound_of(codes: Tensor, spare: Tensor, free: Tensor) -> Tensor:
    """What codes (B, T, SOUND_BOOKS) and the ``spare`` ones (B, T) stand for, see ``with_room``."""
    return with_room(torch.cat([BOOK.read(codes).flatten(-2), SPARE.read(spare)], dim=-1), free)


def with_room(values: Tensor, free: Tensor) -> Tensor:
    """Values (B, T, len(ALL.levels)) without the spare ones where the frame is not ``free`` (B, T), and a
    last one that tells which it is.
    """
    room = free[..., None].to(values.dtype)
    return torch.cat([values[..., :SOUND_WIDTH], values[..., SOUND_WIDTH:] * room, room], dim=-1)
