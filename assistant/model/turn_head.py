"""The transformer's own opinion of whether the person has finished, joined with how it sounded."""

import torch
from torch import Tensor, nn


class TurnHead(nn.Module):
    """P(finished) from the transformer's hidden state at the newest heard embedding and the manner's logit.

    The hidden state knows whether the words could be over; the manner knows pitch, pauses and fillers.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words = nn.Linear(width, 1)
        self.weights = nn.Parameter(torch.tensor([0.5, 0.5, 0.0]))  # of the words, of the manner, bias

    def forward(self, hidden: Tensor, manner: Tensor) -> Tensor:
        """Logits (...) of hidden states (..., D) after the final norm and the manner's logits (...)."""
        words = self.words(hidden).squeeze(-1)
        logits: Tensor = self.weights[0] * words + self.weights[1] * manner + self.weights[2]
        return logits
