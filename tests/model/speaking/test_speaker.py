"""The speaker as a stream: cuts, sessions, forks, controls. Tiny random nets; words, not beauty."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from assistant.errors import ConfigError
from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.head import MelHead
from assistant.model.speaking.speaker import (
    KEPT_BEFORE,
    LONGEST_UNIT_FRAMES,
    Piece,
    Speaker,
    SpeakerState,
    steadied,
    without_lead,
)
from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS
from audiocodec.vocoder import SourceFilterVocoder, VocoderConfig

HEAD = MelHeadConfig(
    model_width=8, width=16, hidden=16, letter_layers=1, unit_layers=1, pitch_layers=1, pitch_width=8,
    decoder_layers=1, decoder_hidden=16, kernel=5,
)  # fmt: skip
VOCODER = VocoderConfig(layers=1, channels=16, hidden=16, kernel=5, pitch_layers=1, pitch_channels=8)
TOKENS = [
    "It",
    " costs",
    " $",
    "3",
    ".",
    "50",
    " or",
    " mo",
    "re",
    ".",
    " Is",
    " it",
    " 5",
    " pm",
    ",",
    " Dr",
    ".",
    " X",
    "?",
]
Token = tuple[str, Tensor]


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    torch.manual_seed(0)
    return Speaker(MelHead(HEAD), SourceFilterVocoder(VOCODER))


@pytest.fixture(scope="module")
def tokens() -> list[Token]:
    generator = torch.Generator().manual_seed(1)
    return [(text, torch.randn(HEAD.state_width, generator=generator)) for text in TOKENS]


def push_all(
    speaker: Speaker, state: SpeakerState, tokens: Sequence[Token]
) -> tuple[list[Piece], SpeakerState]:
    pieces: list[Piece] = []
    for text, hidden in tokens:
        more, state = speaker.push(state, text, hidden)
        pieces += more
    return pieces, state


def speak(speaker: Speaker, tokens: Sequence[Token], **manner: float) -> list[Piece]:
    pieces, state = push_all(speaker, speaker.initial_state(**manner), tokens)  # type: ignore[arg-type]  # no style here
    return pieces + speaker.finish(state)


def sound(pieces: Sequence[Piece]) -> Tensor:
    return torch.cat([piece.pcm for piece in pieces])


def test_sound_and_mel_fit(speaker: Speaker, tokens: list[Token]) -> None:
    pieces = speak(speaker, tokens)
    frames = sum(len(piece.mel) for piece in pieces)
    assert all(piece.mel.shape[1] == N_MELS for piece in pieces)
    assert len(sound(pieces)) == frames * MEL_HOP_LENGTH
    ends = [piece.text_end for piece in pieces]
    assert ends == sorted(ends)
    assert ends[-1] == len("".join(TOKENS))


def test_cuts_of_the_text_change_nothing(speaker: Speaker, tokens: list[Token]) -> None:
    """A token's text that comes letter by letter sounds the same."""
    whole = sound(speak(speaker, tokens))
    letters = [(letter, hidden) for text, hidden in tokens for letter in text]
    torch.testing.assert_close(sound(speak(speaker, letters)), whole, atol=1e-5, rtol=1e-4)


def test_speaks_before_the_text_ends(speaker: Speaker, tokens: list[Token]) -> None:
    pieces, _ = push_all(speaker, speaker.initial_state(), tokens[:8])
    assert pieces
    assert pieces[0].text_end == len("It")


def test_sessions_do_not_mix(speaker: Speaker, tokens: list[Token]) -> None:
    streams = [tokens, tokens[10:] + tokens[:6]]
    alone = [sound(speak(speaker, stream)) for stream in streams]
    states = [speaker.initial_state(), speaker.initial_state()]
    pieces: list[list[Piece]] = [[], []]
    for step in itertools.zip_longest(*streams):
        for stream, token in enumerate(step):
            if token is not None:
                more, states[stream] = speaker.push(states[stream], *token)
                pieces[stream] += more
    for got, state, want in zip(pieces, states, alone, strict=True):
        torch.testing.assert_close(sound(got + speaker.finish(state)), want)


def test_a_state_can_be_taken_up_again(speaker: Speaker, tokens: list[Token]) -> None:
    _, half = push_all(speaker, speaker.initial_state(), tokens[:9])
    first, _ = push_all(speaker, half, tokens[9:])
    push_all(speaker, half, tokens[:5])
    again, _ = push_all(speaker, half, tokens[9:])
    torch.testing.assert_close(sound(again), sound(first))


def test_rate_scales_durations(speaker: Speaker, tokens: list[Token]) -> None:
    sentence = tokens[10:]  # one sentence: the pause between two does not scale
    normal, slow, fast = (len(sound(speak(speaker, sentence, rate=rate))) for rate in (1.0, 0.7, 1.4))
    assert slow / normal == pytest.approx(1 / 0.7, rel=0.1)
    assert fast / normal == pytest.approx(1 / 1.4, rel=0.1)


def test_volume_is_a_factor(speaker: Speaker, tokens: list[Token]) -> None:
    torch.testing.assert_close(sound(speak(speaker, tokens, volume=0.5)), sound(speak(speaker, tokens)) / 2)


def test_hidden_states_matter(speaker: Speaker, tokens: list[Token]) -> None:
    others = [(text, torch.roll(hidden, 3)) for text, hidden in tokens]
    a, b = sound(speak(speaker, tokens)), sound(speak(speaker, others))
    assert len(a) != len(b) or not torch.allclose(a, b)


@pytest.mark.parametrize("text", ["", "   ", "***", "😀 🎉", "…", "你好"])
def test_nothing_to_say_is_silence_of_no_length(speaker: Speaker, text: str) -> None:
    assert sum(len(piece.pcm) for piece in speak(speaker, [(text, torch.zeros(HEAD.state_width))])) == 0


def test_a_monster_word_is_said_in_pieces(speaker: Speaker) -> None:
    pieces = speak(speaker, [("x" * 300, torch.zeros(HEAD.state_width))])
    assert 0 < sum(len(piece.mel) for piece in pieces) < 300 * 4 * LONGEST_UNIT_FRAMES


@pytest.mark.parametrize("wrong", [{"rate": 0.1}, {"pitch": 3.0}, {"volume": -1.0}, {"rate": float("nan")}])
def test_manner_out_of_range(speaker: Speaker, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        speaker.initial_state(**wrong)  # type: ignore[arg-type]  # no style here


def test_unknown_style_lists_the_known(speaker: Speaker) -> None:
    with pytest.raises(ConfigError, match="neutral, cheerful, calm, whisper, excited"):
        speaker.initial_state("grumpy")


def test_hidden_of_another_model_is_refused(speaker: Speaker) -> None:
    with pytest.raises(ValueError, match="must be"):
        speaker.push(speaker.initial_state(), "Hi", torch.zeros(5))


def test_pitch_is_steadied_by_its_voiced_neighbours_alone() -> None:
    before = torch.tensor([[190.0]])
    pitch = torch.tensor([[220.0, 190.0, 0.0, 0.0, 150.0, 180.0, 150.0]])
    wanted = torch.tensor([[200.0, 205.0, 0.0, 0.0, 165.0, 160.0, 165.0]])
    torch.testing.assert_close(steadied(pitch, before), wanted)
    torch.testing.assert_close(steadied(pitch[:, 4:], torch.zeros(1, 1)), wanted[:, 4:])


def test_nobody_waits_for_silence_before_the_sound() -> None:
    sound = torch.cat([torch.full((700,), 0.001), torch.full((300,), -0.5), torch.zeros(200)])
    assert torch.equal(without_lead(sound), sound[700 - KEPT_BEFORE :])
    assert len(without_lead(sound[690:])) == 510
    assert len(without_lead(sound[:600])) == 0
