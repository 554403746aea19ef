"""How something was said and whether it is over: a small recurrent net over codec frames.

It reads the encoder's frames as well as the codes: a voice that breaks off is told from one that ends by how
the last sounds are made, of which the codes keep little.
Source of that: Smart Turn (Daily 2025), which judges turns on Whisper's encoder.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiocodec.prosody import PROSODY_WIDTH

TRAITS: dict[str, tuple[str, ...]] = {
    "rate": ("slow", "usual", "fast"),
    "loudness": ("quiet", "usual", "loud"),
    "pitch": ("low", "middle", "high"),
    "voicing": ("voiced", "whispered"),
    "intent": ("statement", "question"),
}


@dataclass(frozen=True)
class MannerConfig:
    """Sizes of the net."""

    model_width: int = 576
    semantic_width: int = 64
    hidden: int = 192
    acoustic_width: int = 384  # of the encoder's frames
    acoustic_read: int = 96


@dataclass(frozen=True, slots=True)
class MannerOutput:
    """Judgements after each frame."""

    finished: Tensor  # (B, T) logit: the speaker has finished
    speech: Tensor  # (B, T) logit: this frame is speech
    traits: dict[str, Tensor]  # (B, T, classes) logits, of everything heard so far
    hidden: Tensor  # (B, T, hidden)


class Manner(nn.Module):
    """A GRU that reads frames: words by their place in the model's space, prosody, and the sound itself.

    Its state is one vector, so it costs nothing to keep or to copy.
    """

    def __init__(self, config: MannerConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Linear(config.model_width, config.semantic_width)
        self.acoustic_norm = nn.LayerNorm(config.acoustic_width)
        self.sounds = nn.Linear(config.acoustic_width, config.acoustic_read)
        read = config.semantic_width + config.acoustic_read + PROSODY_WIDTH + 1
        self.enter = nn.Linear(read, config.hidden)
        self.cell = nn.GRU(config.hidden, config.hidden, batch_first=True)
        self.finished = nn.Linear(config.hidden, 1)
        self.speech = nn.Linear(config.hidden, 1)
        self.traits = nn.ModuleDict(
            {name: nn.Linear(config.hidden, len(kinds)) for name, kinds in TRAITS.items()}
        )

    def initial_state(self, batch: int) -> Tensor:
        """Nothing heard."""
        return torch.zeros(1, batch, self.config.hidden)

    def forward(
        self, semantic: Tensor, prosody: Tensor, blank: Tensor, acoustic: Tensor, state: Tensor
    ) -> tuple[MannerOutput, Tensor]:
        """Read frames.

        Args:
            semantic: (B, T, frame width), what the semantic codes stand for; the model width counts.
            prosody: (B, T, PROSODY_WIDTH).
            blank: (B, T) probability that a frame says nothing new.
            acoustic: (B, T, acoustic width), see ``RawFrames``.
            state: (1, B, hidden).
        """
        words = torch.tanh(self.words(semantic[..., : self.config.model_width])) * (1 - blank[..., None])
        sounds = torch.tanh(self.sounds(self.acoustic_norm(acoustic)))
        x = nn.functional.gelu(self.enter(torch.cat([words, sounds, prosody, blank[..., None]], dim=-1)))
        hidden, state = self.cell(x, state)
        traits = {name: head(hidden) for name, head in self.traits.items()}
        finished, speech = self.finished(hidden).squeeze(-1), self.speech(hidden).squeeze(-1)
        return MannerOutput(finished, speech, traits, hidden), state
