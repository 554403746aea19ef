"""Whose voice it is: a net that tells speakers apart, and how alike two spectra are to it.

It is taught without names of voices: the two halves of a stretch of speech are one voice, other stretches are
others, and so is the same stretch at another speed, which moves the throat and the pitch.
Sources: Okabe et al. 2018, arXiv 1803.10963 (weighing frames, mean and spread over time); van den Oord et al.
2018, arXiv 1807.03748 (one right pair among wrong ones).
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from assistant.training.codec_clips import CodecClips
from assistant.training.precision import mixed
from assistant.training.runs import cosine, set_rate
from audiocodec.conv import ConvStack
from audiocodec.mel import LogMel
from audiocodec.numbers import CODEC_HOP_LENGTH, N_MELS
from audiocodec.sound_codes import MEL_CENTRE, MEL_SPREAD

CHANNELS, BLOCKS, KERNEL, WIDTH = 192, 4, 5, 128
STRETCHES, SPEEDS = 24, 2  # of a batch, each at so many speeds
HALF_FRAMES = 16  # codec frames
LEVEL = 0.3  # decades by which one half is louder or softer: loudness tells nothing
BETAS, WEIGHT_DECAY = (0.9, 0.98), 0.01


class Likeness(nn.Module):
    """Log mel (B, T, N_MELS) to unit vectors (B, WIDTH), one direction a voice."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(N_MELS, CHANNELS)
        self.stack = ConvStack(BLOCKS, CHANNELS, 2 * CHANNELS, KERNEL)
        self.norm = nn.LayerNorm(CHANNELS)
        self.weigh = nn.Linear(CHANNELS, 1)
        self.leave = nn.Linear(2 * CHANNELS, WIDTH)
        self.sharpness = nn.Parameter(torch.tensor(2.5))  # natural log of the scale of likenesses

    def forward(self, mel: Tensor) -> Tensor:
        """Sum up whole stretches."""
        x = self.enter((mel - MEL_CENTRE) / MEL_SPREAD)
        x, _ = self.stack(x, self.stack.initial_state(len(mel)))
        x = self.norm(x).float()
        weights = self.weigh(x).softmax(dim=1)
        mean = (weights * x).sum(dim=1)
        spread = (weights * (x - mean[:, None]).square()).sum(dim=1).clamp_min(1e-5).sqrt()
        return functional.normalize(self.leave(torch.cat([mean, spread], dim=-1)).float(), dim=-1)


def unlikeness(net: Likeness, made: Tensor, true: Tensor) -> Tensor:
    """How far two log mel spectra (B, T, N_MELS) are from one voice: 0 to 2, the mean over the batch."""
    with torch.no_grad():
        goal = net(true)
    away: Tensor = 1 - (net(made) * goal).sum(dim=-1)
    return away.mean()


class LikenessRecipe:
    """Trainable: one step is one batch of stretches, each at two speeds and in two halves."""

    def __init__(self, clips: CodecClips, steps: int, rate: float = 2e-3) -> None:
        self.net, self.clips, self.steps, self.rate = Likeness().train(), clips, steps, rate
        self.log_mel = LogMel()
        self.learning = torch.optim.AdamW(self.net.parameters(), rate, betas=BETAS, weight_decay=WEIGHT_DECAY)

    def modules(self) -> dict[str, nn.Module]:
        """What is learned."""
        return {"likeness": self.net}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Its optimiser."""
        return {"adamw": self.learning}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch; gives the loss, and in how many of 100 the right half is found."""
        rng = np.random.default_rng((15, number))
        pcm = self.clips.draw(rng, STRETCHES, 2 * HALF_FRAMES, SPEEDS)
        louder = 10 ** rng.uniform(-LEVEL, LEVEL, (len(pcm), 1)).astype(np.float32)
        middle = HALF_FRAMES * CODEC_HOP_LENGTH
        halves = torch.cat([pcm[:, :middle], pcm[:, middle:] * torch.from_numpy(louder)])
        set_rate(self.learning, self.rate * cosine(number, self.steps, min(100, self.steps // 5)))
        with torch.no_grad():
            mel, _ = self.log_mel(halves, self.log_mel.initial_state(len(halves)))
        with mixed("cpu"):
            one, other = self.net(mel).chunk(2)
        scores, right = self.net.sharpness.exp() * one @ other.T, torch.arange(len(one))
        loss = (functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)) / 2
        self.learning.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.learning.step()
        found = 100 * float((scores.argmax(dim=1) == right).float().mean())
        return {"loss": float(loss.detach()), "found": found}
