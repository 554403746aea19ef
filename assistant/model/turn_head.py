"""The transformer's own opinion of whether the person has finished, joined with how it sounded."""

import torch
from torch import Tensor, nn
from torch.nn import functional

SURE = 1e-4  # probabilities nearer to 0 or 1 count as this near
HIDDEN = 64


class TurnHead(nn.Module):
    """P(finished) from what the transformer makes of the words and what the manner net makes of the sound.

    The transformer's stream after its last layer, at the newest word, is what it would guess the next word
    from, so it knows whether the words could be over; the manner knows pitch, pauses and fillers.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, 1)
        self.weights = nn.Parameter(torch.tensor([0.5, 0.5, 0.0]))  # of the words, of the manner, bias

    def read(self, stream: Tensor) -> Tensor:
        """Logits (...) of the words alone, from the stream (..., D) after the last layer."""
        hidden = functional.silu(self.enter(functional.rms_norm(stream, stream.shape[-1:])))
        logits: Tensor = self.leave(hidden).squeeze(-1)
        return logits

    def join(self, words: Tensor, manner: Tensor) -> Tensor:
        """Logits (...) of both, from the words' logits and the manner's."""
        joined: Tensor = self.weights[0] * words + self.weights[1] * manner + self.weights[2]
        return joined

    @torch.inference_mode()
    def judge(self, words: float, manner: float) -> float:
        """P(finished) from the words' logit and the manner's probability."""
        sound = torch.tensor(min(max(manner, SURE), 1 - SURE)).logit()
        return float(self.join(torch.tensor(words), sound).sigmoid())
