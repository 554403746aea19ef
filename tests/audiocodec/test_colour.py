"""The colour that is told: found by both sides, exact as a stream, right after a few frames with room."""

import pytest
import torch
from torch import Tensor

from audiocodec.colour import (
    AXES,
    COLOURS,
    KEPT,
    LEAST,
    STEP,
    Colour,
    held,
    running,
    spoken,
)
from audiocodec.listener import BOOK_SIZE
from audiocodec.named import DIGITS
from audiocodec.named import LEVELS as NAME_LEVELS
from audiocodec.numbers import N_MELS
from audiocodec.prosody import PROSODY_WIDTH
from audiocodec.sound_codes import SPARE

FRAMES = 60


@pytest.fixture
def colour() -> Colour:
    torch.manual_seed(4)
    made = Colour()
    made.fit(torch.randn(200, AXES) @ torch.randn(AXES, N_MELS))
    return made


def voice(frames: int = FRAMES) -> tuple[Tensor, Tensor, Tensor]:
    """Log mel of somebody who speaks all the time, the prosody, and where there is room."""
    torch.manual_seed(5)
    prosody = torch.ones(1, frames, PROSODY_WIDTH)
    return torch.randn(1, 8 * frames, N_MELS) - 4, prosody, torch.rand(1, frames) < 0.6


def painted(colour: Colour, true: Tensor, made: Tensor, prosody: Tensor, free: Tensor) -> Tensor:
    codes, _ = colour.tell(true, prosody, free, colour.initial_state(1))
    assert 0 <= int(codes.min()) <= int(codes.max()) < COLOURS.size
    found, _ = colour.paint(made, prosody, codes, free, colour.initial_painting(1))
    return found


def test_the_axes_hold_what_was_missing(colour: Colour) -> None:
    torch.testing.assert_close(colour.axes @ colour.axes.T, torch.eye(AXES), atol=1e-4, rtol=1e-4)
    assert Colour().fit(torch.randn(50, AXES) @ torch.randn(AXES, N_MELS)) < 1e-6


def test_what_the_decoder_lacks_in_all_frames_comes_back(colour: Colour) -> None:
    mel, prosody, free = voice()
    free[:, 0] = False
    lack = torch.randn(AXES).clamp(-1, 1) @ colour.axes
    found = painted(colour, mel, mel - lack, prosody, free)
    before, after = lack.abs().mean(), (found - mel)[:, -8:].mean(dim=1).abs().mean()
    assert after < 0.25 * before
    assert torch.equal(found[:, :8], (mel - lack)[:, :8])  # nothing is told yet


def test_what_is_right_stays_so(colour: Colour) -> None:
    mel, prosody, free = voice()
    found = painted(colour, mel, mel, prosody, free)
    assert ((found - mel) @ colour.axes.T).abs().max() <= STEP / 2 + 1e-3


def test_without_room_or_speech_nothing_is_told(colour: Colour) -> None:
    mel, prosody, free = voice()
    made = mel - colour.axes.sum(dim=0)
    assert torch.equal(painted(colour, mel, made, prosody, torch.zeros_like(free)), made)
    assert torch.equal(painted(colour, mel, made, -3 * prosody, free), made)


def test_any_parts_are_as_the_whole(colour: Colour) -> None:
    mel, prosody, free = voice(300)
    made = mel - 0.5 * colour.axes.sum(dim=0)
    codes, _ = colour.tell(mel, prosody, free, colour.initial_state(1))
    whole, after = colour.paint(made, prosody, codes, free, colour.initial_painting(1))
    telling, painting, told, found = colour.initial_state(1), colour.initial_painting(1), [], []
    for start, stop in ((0, 1), (1, 40), (40, 300)):
        part, hops = slice(start, stop), slice(8 * start, 8 * stop)
        code, telling = colour.tell(mel[:, hops], prosody[:, part], free[:, part], telling)
        sound, painting = colour.paint(made[:, hops], prosody[:, part], code, free[:, part], painting)
        told.append(code)
        found.append(sound)
    assert torch.equal(torch.cat(told, dim=1), codes)
    torch.testing.assert_close(torch.cat(found, dim=1), whole, atol=1e-4, rtol=1e-4)
    assert torch.equal(painting.own.turn, after.own.turn)


def test_silence_before_a_voice_changes_nothing(colour: Colour) -> None:
    mel, prosody, free = voice()
    silence = torch.full((1, 80, N_MELS), -11.5), torch.full((1, 10, PROSODY_WIDTH), -3.0)
    late = [torch.cat(pair, dim=1) for pair in zip(silence, (mel, prosody), strict=True)]
    room = torch.cat([torch.ones(1, 10).bool(), free], dim=1)
    codes, _ = colour.tell(mel, prosody, free, colour.initial_state(1))
    after, _ = colour.tell(*late, room, colour.initial_state(1))
    assert torch.equal(after[:, 10:], codes)


def test_speech_is_what_is_near_the_loudest_so_far() -> None:
    level = torch.tensor([-3.0, 0.0, 1.0, 0.5, -0.5, 0.2])
    prosody = torch.zeros(1, 6, PROSODY_WIDTH)
    prosody[..., -4:] = level[:, None]
    speaks, loudest = spoken(prosody, torch.tensor([LEAST]))
    assert speaks[0, ::8].tolist() == [False, True, True, True, False, True]
    assert float(loudest) == pytest.approx(1.0, abs=0.05)


def test_sums_fade_and_begin_with_what_was_before() -> None:
    expected = [2 * KEPT + 1, 2 * KEPT**2 + KEPT + 1, 2 * KEPT**3 + KEPT**2 + KEPT + 1]
    found = running(torch.ones(1, 3, 1), torch.full((1, 1), 2.0))
    torch.testing.assert_close(found[0, :, 0], torch.tensor(expected))


def test_the_newest_counts_until_the_next_one() -> None:
    values = torch.arange(4.0)[None, :, None, None]
    renewed = torch.tensor([False, True, False, True])[None, :, None]
    assert held(values, renewed, torch.full((1, 1, 1), 9.0)).flatten().tolist() == [9, 1, 1, 3]


def test_the_colour_and_the_spare_numbers_fit_into_the_places_of_names() -> None:
    assert SPARE.size * COLOURS.size * NAME_LEVELS <= BOOK_SIZE**DIGITS
