"""From what the codes of frames stand for to log mel: causal, no look-ahead, finer in two steps."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from audiocodec.conv import ConvStack, ConvState
from audiocodec.mel import SILENCE
from audiocodec.numbers import MEL_FRAMES_PER_CODEC_FRAME, N_MELS, exact_div
from audiocodec.prosody import PROSODY_WIDTH
from audiocodec.sound_codes import ALL, MEL_CENTRE, MEL_SPREAD

MIDDLE_STEPS = 4  # of a codec frame


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the net."""

    coarse: int = 384  # channels at 12.5 Hz
    middle: int = 256  # at 50 Hz
    fine: int = 192  # at 100 Hz
    coarse_blocks: int = 5
    middle_blocks: int = 4
    fine_blocks: int = 3
    kernel: int = 5

    def to_dict(self) -> dict[str, int]:
        """The configuration as it is stored beside the weights."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DecoderState:
    """Convolutions' tails. A value: each step gives a new one."""

    coarse: tuple[ConvState, ...]
    middle: tuple[ConvState, ...]
    fine: tuple[ConvState, ...]


class MelDecoder(nn.Module):
    """Prosody and sound of a codec frame to eight frames of log mel."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        stacks = {
            "coarse": (config.coarse_blocks, config.coarse),
            "middle": (config.middle_blocks, config.middle),
            "fine": (config.fine_blocks, config.fine),
        }
        self.coarse, self.middle, self.fine = (
            ConvStack(blocks, width, 3 * width, config.kernel) for blocks, width in stacks.values()
        )
        self.enter = nn.Linear(PROSODY_WIDTH + len(ALL.levels) + 1, config.coarse)
        self.widen = nn.Linear(config.coarse, MIDDLE_STEPS * config.middle)
        self.refine = nn.Linear(
            config.middle, exact_div(MEL_FRAMES_PER_CODEC_FRAME, MIDDLE_STEPS) * config.fine
        )
        self.norm = nn.LayerNorm(config.fine)
        self.out = nn.Linear(config.fine, N_MELS)

    def initial_state(self, batch: int) -> DecoderState:
        """State before the first frame."""
        stacks = (self.coarse, self.middle, self.fine)
        return DecoderState(*(stack.initial_state(batch) for stack in stacks))

    def forward(self, prosody: Tensor, sound: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Map prosody (B, T, PROSODY_WIDTH) and sound (see ``sound_codes.with_room``) to log mel (B, 8 T,
        N_MELS).
        """
        batch = len(prosody)
        x, coarse = self.coarse(self.enter(torch.cat([prosody, sound], dim=-1)), state.coarse)
        x, middle = self.middle(self.widen(x).reshape(batch, -1, self.config.middle), state.middle)
        x, fine = self.fine(self.refine(x).reshape(batch, -1, self.config.fine), state.fine)
        mel = (self.out(self.norm(x)).float() * MEL_SPREAD + MEL_CENTRE).clamp(min=SILENCE)
        return mel, DecoderState(coarse, middle, fine)
