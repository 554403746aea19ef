"""The colour of a stream, its mean spectrum where somebody speaks, told by itself and a little at a time.

A decoder brings every voice nearer to those that it learned from, and half of what is lost of a new one is
the same in all of the stream's frames. So frames that have room tell the mean of the true spectra so far,
some of its coordinates each; the decoder takes the mean of what it made over the same frames, which both
sides know by the coded loudness, and adds the difference. It is never far off, so a coordinate's place among
a few levels is enough, as of a clock's hand without the hour.

Sources: Atal 1974, Effectiveness of linear prediction characteristics of the speech wave, for the mean of
spectra as what a channel and a voice add to all; Wyner and Ziv 1976, The rate-distortion function for source
coding with side information at the decoder.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiocodec.numbers import MEL_FRAMES_PER_CODEC_FRAME, N_MELS, exact_div
from audiocodec.prosody import PROSODY_WIDTH, STEPS_PER_FRAME
from audiocodec.scalar_codes import ScalarCodes

TOLD = 3  # coordinates that a frame tells
TURNS = 7  # frames until it is the first ones' turn again
AXES = TOLD * TURNS
LEVELS = 8
STEP = 0.4  # between two levels, in log mel along an axis
COLOURS = ScalarCodes((LEVELS,) * TOLD)
KEPT = 0.99  # of the past with each codec frame: half of it after 5.5 seconds
PRIOR = 10.0  # mel frames without any difference that every mean begins with, so that the first do not decide
ENOUGH = 4.0  # mel frames of speech before a colour is told
SPOKEN = 1.0  # decades below the loudest so far at which a step counts as speech
FADING = 1e-3  # decades by which the loudest is forgotten with each step
LEAST = -1.5  # of the loudest, in the units of ``prosody``
PART = 256  # codec frames that are taken together


@dataclass(frozen=True, slots=True)
class ColourState:
    """What both sides know of the stream so far. A value: each step gives a new one."""

    loudest: Tensor  # (B,)
    total: Tensor  # (B, AXES): coordinates, summed over mel frames with speech, the past fading
    weight: Tensor  # (B,): such frames, fading alike
    turn: Tensor  # (B,) int64: frames that told a colour


@dataclass(frozen=True, slots=True)
class PaintingState:
    """The same, and what the decoder adds."""

    own: ColourState
    added: Tensor  # (B, AXES)


class Colour(nn.Module):
    """Tells a stream's colour and gives it to what is decoded; before its axes are fitted it does nothing."""

    axes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("axes", torch.zeros(AXES, N_MELS))

    @torch.no_grad()
    def fit(self, errors: Tensor) -> float:
        """Fit the axes to (N, N_MELS), what is missing in the mean spectra of clips; gives the part of it
        that lies along no axis.
        """
        squares, directions = torch.linalg.eigh(errors.T @ errors)  # the largest comes last
        self.axes.copy_(directions.T.flip(0)[:AXES])
        return float(squares[:-AXES].sum() / squares.sum())

    def initial_state(self, batch: int) -> ColourState:
        """State before the first frame: nothing is known."""
        zeros = self.axes.new_zeros(batch)
        return ColourState(zeros + LEAST, self.axes.new_zeros(batch, AXES), zeros, zeros.long())

    def initial_painting(self, batch: int) -> PaintingState:
        """The decoder's state before the first frame."""
        return PaintingState(self.initial_state(batch), self.axes.new_zeros(batch, AXES))

    def tell(
        self, mel: Tensor, prosody: Tensor, free: Tensor, state: ColourState
    ) -> tuple[Tensor, ColourState]:
        """Tell the colour of log mel (B, 8 T, N_MELS) in codes (B, T) of ``COLOURS``, which count where a
        frame is ``free`` (B, T).

        ``prosody`` (B, T, PROSODY_WIDTH) is what its codes stand for.
        """
        mean, weight, after = self._mean(mel, prosody, state)
        turn, _, after = turns(free, weight, state, after)
        mine = by_turn((mean / STEP).round().long())
        place = turn[..., None, None].expand(-1, -1, 1, TOLD)
        return COLOURS.spelled(mine.gather(2, place).squeeze(2) % LEVELS), after

    def paint(
        self, mel: Tensor, prosody: Tensor, codes: Tensor, free: Tensor, state: PaintingState
    ) -> tuple[Tensor, PaintingState]:
        """Give decoded log mel (B, 8 T, N_MELS) the colour that ``codes`` (B, T) told."""
        mean, weight, after = self._mean(mel, prosody, state.own)
        turn, told, after = turns(free, weight, state.own, after)
        steps = COLOURS.steps(codes)[:, :, None] - by_turn(mean) / STEP
        nearest = steps - LEVELS * (steps / LEVELS).round()
        missing = nearest * STEP * (weight / (weight + PRIOR))[..., None, None]
        place = torch.arange(TURNS, device=mel.device)
        renewed = told[..., None] & (turn[..., None] == place)  # (B, T, TURNS)
        added = held(missing, renewed, by_turn(state.added)).flatten(-2)
        shift = (added @ self.axes).repeat_interleave(MEL_FRAMES_PER_CODEC_FRAME, dim=1)
        return mel + shift, PaintingState(after, added[:, -1])

    def _mean(self, mel: Tensor, prosody: Tensor, state: ColourState) -> tuple[Tensor, Tensor, ColourState]:
        """Coordinates (B, T, AXES) of the mean where somebody spoke, up to each codec frame, how many mel
        frames (B, T) that is, and the state behind them.
        """
        speech, loudest = spoken(prosody, state.loudest)
        counted = speech.to(mel.dtype)[..., None]
        both = torch.cat([mel * counted, counted], dim=-1)
        both = both.reshape(len(mel), -1, MEL_FRAMES_PER_CODEC_FRAME, N_MELS + 1).sum(dim=2)
        sums = torch.cat([both[..., :N_MELS] @ self.axes.T, both[..., N_MELS:]], dim=-1)
        before = torch.cat([state.total, state.weight[:, None]], dim=-1)
        found = []
        for part in torch.split(sums, PART, dim=1):
            found.append(running(part, before))
            before = found[-1][:, -1]
        all_ = torch.cat(found, dim=1)
        total, weight = all_[..., :-1], all_[..., -1]
        after = ColourState(loudest, total[:, -1], weight[:, -1], state.turn)
        return total / weight.clamp(min=1.0)[..., None], weight, after


def spoken(prosody: Tensor, loudest: Tensor) -> tuple[Tensor, Tensor]:
    """In which mel frames (B, 8 T) somebody speaks, by coded prosody (B, T, PROSODY_WIDTH); and the new
    ``loudest`` (B,).
    """
    level = prosody[..., PROSODY_WIDTH - STEPS_PER_FRAME :].flatten(1)
    faded = FADING * torch.arange(1, level.shape[1] + 1, device=level.device)
    peaks = torch.maximum((level + faded).cummax(dim=1).values, loudest[:, None]) - faded
    peaks = peaks.clamp(min=LEAST)
    speaks = level > peaks - SPOKEN
    return speaks.repeat_interleave(exact_div(MEL_FRAMES_PER_CODEC_FRAME, STEPS_PER_FRAME), dim=1), peaks[
        :, -1
    ]


def running(values: Tensor, before: Tensor) -> Tensor:
    """Sums (B, T, C) of values (B, T, C) up to each frame behind the sum (B, C) before them, fading."""
    frames = torch.arange(values.shape[1], device=values.device)
    age = frames[:, None] - frames
    fading = torch.where(age >= 0, KEPT ** age.clamp(min=0).float(), 0.0)
    return fading @ values + (KEPT ** (frames + 1).float())[:, None] * before[:, None]


def turns(
    free: Tensor, weight: Tensor, before: ColourState, after: ColourState
) -> tuple[Tensor, Tensor, ColourState]:
    """Whose turn it is in each frame (B, T), whether it tells (B, T), and the state ``after`` with that."""
    told = free & (weight > ENOUGH)
    count = before.turn[:, None] + told.long().cumsum(dim=1)
    now = ColourState(after.loudest, after.total, after.weight, count[:, -1])
    return (count - told.long()) % TURNS, told, now


def by_turn(values: Tensor) -> Tensor:
    """(..., AXES) as (..., TURNS, TOLD)."""
    return values.reshape(*values.shape[:-1], TURNS, TOLD)


def held(values: Tensor, renewed: Tensor, before: Tensor) -> Tensor:
    """Of values (B, T, G, C) the last one that was ``renewed`` (B, T, G), or (B, G, C) from before them."""
    frames = torch.arange(renewed.shape[1], device=renewed.device)[:, None]
    last = torch.where(renewed, frames, -1).cummax(dim=1).values[..., None]
    found = values.gather(1, last.clamp(min=0).expand_as(values))
    return torch.where(last >= 0, found, before[:, None])
