"""Does a short sound only say "I am listening"? A small recurrent net over the codec's frames of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from audiocodec.prosody import PROSODY_WIDTH

WORDS, HIDDEN = 32, 64


class Agreement(nn.Module):
    """P(agreement) of a whole burst: an "mhm" or a "right", not the words of somebody who wants the floor.

    It goes by what the encoder finds likely and how it is said, so that an "mhm" needs no spelling.
    """

    def __init__(self, model_width: int) -> None:
        super().__init__()
        self.model_width = model_width
        self.words = nn.Linear(model_width, WORDS)
        self.enter = nn.Linear(WORDS + PROSODY_WIDTH + 1, HIDDEN)
        self.cell = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.leave = nn.Linear(HIDDEN, 1)

    def forward(self, semantic: Tensor, prosody: Tensor, blank: Tensor, frames: Tensor) -> Tensor:
        """Judge bursts.

        Args:
            semantic: (B, T, frame width), what the semantic codes stand for; the model width counts.
            prosody: (B, T, PROSODY_WIDTH).
            blank: (B, T) probability that a frame says nothing new.
            frames: (B,) how many frames of each burst are its own; at least one.

        Returns:
            (B,) logits.
        """
        words = torch.tanh(self.words(semantic[..., : self.model_width])) * (1 - blank[..., None])
        x = functional.gelu(self.enter(torch.cat([words, prosody, blank[..., None]], dim=-1)))
        hidden, _ = self.cell(x)
        own = torch.arange(hidden.shape[1], device=hidden.device) < frames[:, None]
        mean = (hidden * own[..., None]).sum(dim=1) / frames[:, None]
        logits: Tensor = self.leave(mean).squeeze(-1)
        return logits
