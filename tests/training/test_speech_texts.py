"""What is spoken in training: what is put aside, and how words are written."""

import random

import pytest

from assistant.errors import WeightsError
from assistant.training.speech_data import never_learned
from assistant.training.speech_makers import Use, drawn_shares, make_speech
from assistant.training.texts import (
    always_capital,
    dialogues,
    for_choices,
    lines,
    punctuated,
    put_aside,
    scrambled,
    spoken_form,
    syllables,
)
from assistant.training.voices import CHOICES, HELD_OUT


def test_putting_aside_depends_on_the_id_alone() -> None:
    aside = {str(record["id"]) for record in dialogues(test=True)}
    kept = {str(record["id"]) for record in dialogues(test=False)}
    assert not aside & kept
    assert 0.03 < len(aside) / len(aside | kept) < 0.07
    assert all(put_aside(key) for key in aside)


def test_no_line_of_a_dialogue_put_aside_is_spoken_in_training() -> None:
    aside = {str(record["id"]) for record in dialogues(test=True)}
    assert not any(line.source in aside for line in lines(test=False))
    spoken = {line.source for line in lines(test=True) if line.kind != "cutoff"}
    assert spoken
    assert spoken <= aside


def test_sentences_get_an_end() -> None:
    assert punctuated("what is tea") == "what is tea?"
    assert punctuated("what's tea") == "what's tea?"
    assert punctuated("I like tea") == "I like tea."
    assert punctuated("stop!") == "stop!"


def test_words_alone_with_names_in_capitals() -> None:
    texts = ["I went to Paris.", "Is Paris nice?", "Well, Paris is nice", "The sea. The sun"]
    names = always_capital(texts)
    assert "paris" in names
    assert "the" not in names
    assert spoken_form("The sun, in Paris - isn't I it?", names) == "the sun in Paris isn't I it"


def test_scrambled_sentences_are_made_of_words() -> None:
    words = scrambled(["one two three.", "four five"], random.Random(1)).rstrip(".?").split()
    assert 2 <= len(words) <= 9
    assert set(words) <= {"one", "two", "three", "four", "five"}


def test_syllables_are_about_right() -> None:
    assert syllables("What is the capital of France?") == 8
    assert syllables("a little table, please") == 6
    assert syllables("I'm fine. 42!") == 2


def test_sentences_and_voices_for_choices_are_never_learned() -> None:
    kept = next(line.source for line in lines(test=False) if for_choices(line.source))
    assert never_learned(kept, "hibari size 1.00 pitch 0.90")
    assert never_learned("", "af_heart*0.40+am_puck")
    assert not never_learned("", "af_heart*0.40+am_adam")
    assert not CHOICES & HELD_OUT


def test_a_corpus_for_choices_has_their_voices() -> None:
    with pytest.raises(WeightsError, match="only kokoro"):
        next(make_speech("hibari", 1.0, Use.CHOICES))
    with pytest.raises(WeightsError, match="tests only"):
        next(make_speech("piper", 1.0))
    with pytest.raises(WeightsError, match="makes no speech"):
        next(make_speech("parrot", 1.0))


@pytest.mark.parametrize(
    "hours",
    [
        {"kokoro": 1.2, "hibari": 5.0, "kokoro-quick": 12.0, "old": 0.8, "old-wide": 1.2},
        {"hibari": 5.0, "old": 5.0},
        {"hibari": 5.0, "old": 0.01},
        {"kokoro": 0.1, "hibari": 5.0},
    ],
)
def test_old_engines_are_at_most_a_tenth_of_what_is_drawn(hours: dict[str, float]) -> None:
    shares = drawn_shares(hours)
    assert shares.keys() == hours.keys()
    total = sum(shares.values())
    assert sum(share for maker, share in shares.items() if maker.startswith("old")) <= 0.1 * total + 1e-9
    for maker, share in shares.items():
        assert share <= 8 * hours[maker] / sum(hours.values()) + 1e-9


def test_old_engines_alone_are_drawn_as_they_are() -> None:
    assert drawn_shares({"old": 1.0})["old"] > 0
