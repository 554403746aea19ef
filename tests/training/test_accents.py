"""Habits of speech on phonemes."""

import re

import numpy as np
import pytest

from assistant.training.accents import HABITS, PAUSE, VOWELS, said_differently

KNOWN = set("abcdefhijklmnopqrstuvwxyzæɑɒɔəɚɛɜɪʊʌᵊᵻAIOQSTWYðŋɡɹɾʃʒʔʤʧθˈˌː .,?!")
SENTENCE = "ðə dˈɑktəɹz ɹˈɪŋɪŋ təmˈɑɹO, ænd ˌIm wˈɜɹid ðæt nˈʌθɪŋ wɪl ɡɛt bˈɛTəɹ."


def test_every_word_stays_and_only_known_sounds_are_said() -> None:
    said = {said_differently(SENTENCE, KNOWN, np.random.default_rng(seed)) for seed in range(200)}
    assert len(said) > 80
    for one in said:
        words = one.split(" ")
        assert len(words) == len(SENTENCE.split(" "))
        assert all(any(mark.isalpha() for mark in word) for word in words)
        assert set(one) <= KNOWN
        assert ",," not in one


def drawn(phonemes: str, count: int) -> list[str]:
    return [said_differently(phonemes, KNOWN, np.random.default_rng(seed)) for seed in range(count)]


def test_most_is_said_as_it_was_and_some_speakers_have_no_habit() -> None:
    plain = SENTENCE.replace(",", "")
    assert 0.1 < np.mean([said.replace(",", "") == plain for said in drawn(SENTENCE, 300)]) < 0.6


def test_a_word_of_one_sound_keeps_it() -> None:
    assert all(any(mark.isalpha() for mark in said) for said in drawn("t", 100))


def test_people_stop_between_words_now_and_then() -> None:
    many = " ".join(["bˈɛd"] * 2_000)
    stops = said_differently(many, KNOWN, np.random.default_rng(0)).count(",")
    assert 0.5 * PAUSE < stops / 2_000 < 2 * PAUSE


@pytest.mark.parametrize(("pattern", "ways"), HABITS)
def test_habits_give_other_sounds(pattern: str, ways: tuple[str, ...]) -> None:
    """None is a change to itself, and none says a sound that no voice knows."""
    for way in ways:
        assert re.compile(pattern).fullmatch(way) is None
        assert set(way) <= KNOWN
    assert set(VOWELS) <= KNOWN
