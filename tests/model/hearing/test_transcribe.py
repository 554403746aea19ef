"""Cutting sound at pauses, and the conversation in which it is written down."""

from collections.abc import Iterator

import pytest
import torch

from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, Hearing
from assistant.model.hearing_files import new_hearing
from assistant.model.manner import MannerConfig
from assistant.model.transcribe import LONGEST_S, between_markers, look_again, utterances
from audiocodec.encoder import EncoderConfig
from audiocodec.numbers import SAMPLE_RATE

WIDTH = 12


@pytest.fixture
def hearing() -> Hearing:
    torch.manual_seed(1)
    sizes = {
        "layers": 1,
        "feed_forward": 16,
        "projector_width": 16,
        "projector_heads": 2,
        "projector_layers": 1,
    }
    config = EncoderConfig(
        width=24,
        heads=2,
        projector_feed_forward=16,
        model_width=WIDTH,
        sound_width=4,
        window_blocks=7,
        past_blocks=3,
        **sizes,
    )
    hearing = new_hearing(
        config, MannerConfig(WIDTH, 8, 16, 24, 8), torch.randn(40, WIDTH), torch.arange(5, 30)
    )
    for name, value in hearing.listener.codebooks.named_buffers():
        value.copy_(torch.ones_like(value) if name.endswith("scale") else torch.randn_like(value))
    return hearing.eval()


def noise(seconds: float) -> torch.Tensor:
    return torch.randn(round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(2)) * 0.1


def set_speech(hearing: Hearing, logit: float) -> None:
    with torch.no_grad():
        hearing.manner.speech.weight.zero_()
        hearing.manner.speech.bias.fill_(logit)


def test_pauses_and_length_cut(hearing: Hearing) -> None:
    set_speech(hearing, 9.0)
    long = list(utterances(hearing, [noise(LONGEST_S + 3)]))
    assert len(long) == 2
    assert long[0].end_s == pytest.approx(long[1].start_s, abs=0.2)
    assert [len(one.reading.blank) * 0.08 for one in long] == pytest.approx([LONGEST_S, 3], abs=0.4)
    set_speech(hearing, -9.0)
    assert len(list(utterances(hearing, [noise(4)]))) > 2


def test_pieces_do_not_matter(hearing: Hearing) -> None:
    set_speech(hearing, 9.0)
    sound = noise(3)
    whole = torch.cat([one.embeddings for one in utterances(hearing, [sound])])
    pieces = torch.cat([one.embeddings for one in utterances(hearing, torch.split(sound, 3_840 * 2))])
    torch.testing.assert_close(whole, pieces)


def test_sound_without_words_gives_nothing(hearing: Hearing) -> None:
    with torch.no_grad():
        hearing.reader.blank_bias.fill_(1_000)
    assert list(utterances(hearing, [noise(2)])) == []
    assert list(utterances(hearing, iter(()))) == []


@pytest.mark.parametrize("speed", [0.5, 0.93, 1.07])
def test_another_look_hears_the_same_sound_at_its_speed(hearing: Hearing, speed: float) -> None:
    set_speech(hearing, 9.0)
    [heard] = utterances(hearing, [noise(3)])
    assert len(heard.sound) == 3 * SAMPLE_RATE
    look = look_again(hearing, heard.sound, speed)
    assert len(look.reading.blank) == pytest.approx(len(heard.reading.blank) / speed, abs=2)
    assert len(look.between(0, len(heard.reading.blank)).blank) == pytest.approx(3 * 12.5 / speed, abs=2)


def test_another_look_at_broken_samples_is_a_clear_one(hearing: Hearing) -> None:
    broken = noise(1)
    broken[100:200], broken[300] = float("nan"), float("inf")
    assert torch.isfinite(look_again(hearing, broken, 0.93).reading.blank).all()


class Echo:
    """A decoder whose embeddings are the token numbers."""

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.float()[:, None].expand(-1, WIDTH)


def test_markers_frame_what_was_heard() -> None:
    audio = between_markers(Echo(), torch.full((3, WIDTH), 0.5))[:, 0].tolist()
    assert audio == [AUDIO_OPEN, 0.5, 0.5, 0.5, AUDIO_CLOSE]


def empty() -> Iterator[torch.Tensor]:
    yield torch.zeros(0)


def test_an_empty_piece_is_nothing(hearing: Hearing) -> None:
    assert list(utterances(hearing, empty())) == []
