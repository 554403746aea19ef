"""What a net remembers of a voice: a mean of what it found in the stream so far, the past fading slowly.

A voice and a microphone colour every sound alike. A net that sees a second or two must tell that colour anew
all the time; with a mean of several seconds it is told once, a little with each frame.
Source: the squeeze of Hu et al. 2018, Squeeze-and-Excitation Networks, arXiv 1709.01507, as a running mean.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

KEPT = 0.985  # of the past with each codec frame: half of it after 3.7 seconds
PRIOR = 1.0  # frames of nothing that the mean begins with, so that a first frame does not decide alone
PART = 256  # frames that are taken together


@dataclass(frozen=True, slots=True)
class MemoryState:
    """Sums over the past. A value: each step gives a new one."""

    total: Tensor  # (B, width)
    weight: Tensor  # (B, width)


class VoiceMemory(nn.Module):
    """Adds to (B, T, C) what the stream so far had in common. At first it adds nothing."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.note = nn.Linear(channels, 2 * width)  # what a frame tells of the voice, and how much that counts
        self.recall = nn.Linear(width, channels)
        nn.init.zeros_(self.recall.weight)
        nn.init.zeros_(self.recall.bias)

    def initial_state(self, batch: int) -> MemoryState:
        """State before the first frame: nothing is known."""
        zeros = self.note.weight.new_zeros(batch, self.width)
        return MemoryState(zeros, zeros)

    def forward(self, x: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """Map (B, T, C) at the codec's frame rate to (B, T, C) and return the state for the next call."""
        found = []
        for part in torch.split(x, PART, dim=1):
            value, gate = self.note(part).float().chunk(2, dim=-1)
            counts = gate.sigmoid()
            total = running(value.tanh() * counts, state.total)
            weight = running(counts, state.weight)
            state = MemoryState(total[:, -1], weight[:, -1])
            found.append(total / (weight + PRIOR))
        return x + self.recall(torch.cat(found, dim=1).to(x.dtype)), state


def running(values: Tensor, before: Tensor) -> Tensor:
    """Sums (B, T, C) of values (B, T, C) up to each frame behind the sum (B, C) before them, fading."""
    frames = torch.arange(values.shape[1], device=values.device)
    age = frames[:, None] - frames
    fading = torch.where(age >= 0, KEPT ** age.clamp(min=0).float(), 0.0)
    rest = KEPT ** (frames + 1).float()
    return fading @ values + rest[:, None] * before[:, None]
