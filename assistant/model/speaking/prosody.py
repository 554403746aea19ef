"""Phones to how they are said: durations, pitch and energy, word by word with one word of look-ahead.

A word is always read in the same window: the last units of the word before it, its own, the first of the
next. What was said earlier in the sentence comes through a recurrent state. So the result is the same
however the text came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assistant.model.speaking.config import STYLES, MelHeadConfig
from assistant.model.speaking.layers import TokenState, WindowBlock
from assistant.model.speaking.units import UNITS

BEFORE_UNITS, AFTER_UNITS = 2, 6  # units of the neighbouring words that are seen
WIDTH_STEP = 4  # few different widths: each one is prepared for once by the matrix library
PREVIOUS, OWN, NEXT = 1, 2, 3  # segments
SPAN_SCALE = 2.0  # log2 of frames, about the middle of what occurs
ENERGY_CENTRE, ENERGY_SPREAD = -5.0, 2.0


@dataclass(frozen=True, slots=True)
class Windows:
    """Units of words with their neighbours, ready for the net."""

    units: Tensor  # (N, U) int64, 0 where empty
    segments: Tensor  # (N, U) int64: 0 empty, PREVIOUS, OWN or NEXT


def windows(words: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]]) -> Windows:
    """Lay out words' units, each given with those of the word before and of the next (empty if none)."""
    rows = []
    for before, own, after in words:
        row = [(unit, PREVIOUS) for unit in before[-BEFORE_UNITS:]] + [(unit, OWN) for unit in own]
        rows.append(row + [(unit, NEXT) for unit in after[:AFTER_UNITS]])
    width = -(-max(len(row) for row in rows) // WIDTH_STEP) * WIDTH_STEP
    table = torch.tensor([row + [(0, 0)] * (width - len(row)) for row in rows])
    return Windows(table[..., 0], table[..., 1])


@dataclass(frozen=True, slots=True)
class Prosody:
    """What is decided per unit, all words' own units one after the other."""

    features: Tensor  # (units, width) for the frames
    log_spans: Tensor  # (units,) log2 of frames at rate 1
    energy: Tensor  # (units,) mean log mel


class ProsodyNet(nn.Module):
    """Units, token states and style to durations, energy and features."""

    def __init__(self, config: MelHeadConfig) -> None:
        super().__init__()
        self.units = nn.Embedding(len(UNITS), config.width)
        self.segments = nn.Embedding(4, config.width)
        self.styles = nn.Embedding(len(STYLES), config.width)
        self.state = TokenState(config.model_width, config.width)
        self.next_state = TokenState(config.model_width, config.width)
        self.blocks = nn.ModuleList(
            WindowBlock(config.width, config.hidden, 5) for _ in range(config.unit_layers)
        )
        self.memory = nn.GRU(config.width, config.width, batch_first=True)
        self.mix = nn.Linear(config.width, config.width)
        self.last = WindowBlock(config.width, config.hidden, 5)
        self.norm = nn.LayerNorm(config.width)
        self.spans = nn.Sequential(nn.Linear(config.width, 128), nn.SiLU(), nn.Linear(128, 1))
        self.energy = nn.Sequential(nn.Linear(config.width, 128), nn.SiLU(), nn.Linear(128, 1))

    def encode(
        self, window: Windows, styles: Tensor, states: Tensor, next_states: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Read windows: (N, U, width) and a summary of each word, (N, width)."""
        own = (window.segments == OWN)[..., None]
        x = self.units(window.units) + self.segments(window.segments) + self.styles(styles)[:, None]
        x = x + torch.where(own, self.state(states)[:, None], 0) + self.next_state(next_states)[:, None]
        mask = (window.segments > 0)[..., None].to(x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        summary = (x * own).sum(dim=1) / own.sum(dim=1)
        return x, summary

    def decide(self, window: Windows, x: Tensor, memory: Tensor) -> Prosody:
        """Decide per unit, given the memory (N, width) after each word."""
        mask = (window.segments > 0)[..., None].to(x.dtype)
        x = self.last(x + self.mix(memory)[:, None], mask)
        features = self.norm(x[window.segments == OWN])
        log_spans = self.spans(features)[:, 0] + SPAN_SCALE
        energy = self.energy(features)[:, 0] * ENERGY_SPREAD + ENERGY_CENTRE
        return Prosody(features, log_spans, energy)
