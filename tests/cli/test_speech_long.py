"""Ten minutes of speech: which minutes are kept, with which text."""

import torch

from assistant.bench.judges.words import Recognizer
from assistant.bench.speech_long import MINUTE, errors, long_text, speak_long
from assistant.model.speaking.speaker import Piece

SENTENCES = ("One two three.", "Four five.")


class Reads(Recognizer):
    """Hears the words by the level of their samples, one a second, as they were spoken."""

    name = "reader"

    def hear(self, audio: object) -> str:
        """Give one word for every second of sound."""
        levels = torch.as_tensor(audio).view(-1, MINUTE // 60)[:, 0]
        return " ".join(WORDS[round(float(level) * 1000)] for level in levels)


TEXT = long_text(SENTENCES, 4)
WORDS = TEXT.split()


def pieces(count: int) -> list[Piece]:
    """One second for every word."""
    found, end = [], 0
    for index, word in enumerate(WORDS[:count]):
        end += len(word) + 1
        found.append(Piece(torch.zeros(100, 100), torch.full((MINUTE // 60,), index / 1000), end))
    return found


def test_a_long_text_repeats_its_sentences() -> None:
    assert TEXT.startswith("One two three. Four five. One two three.")
    assert len(TEXT) > 4 * 60 * 20


def test_the_first_and_the_last_minute_are_kept_with_their_words() -> None:
    seen: list[float] = []
    spoken = speak_long(pieces(400), TEXT, 4, seen.append)
    assert spoken.spoken_s == seen[-1] == 240
    assert [word for one in spoken.first for word in one.text.split()] == WORDS[:60]
    assert sum(len(one.audio) for one in spoken.first) == MINUTE
    last = [word for one in spoken.last for word in one.text.split()]
    assert 58 <= len(last) <= 61
    assert last == WORDS[240 - len(last) : 240]
    assert {one.text.split()[-1] for one in spoken.last} == {"three.", "five."}
    assert {error.percent for error in errors(Reads(), spoken).values()} == {0.0}


def test_a_text_that_is_too_short_is_kept_whole() -> None:
    spoken = speak_long(pieces(30), TEXT, 4, lambda _: None)
    for kept in (spoken.first, spoken.last):
        assert [word for one in kept for word in one.text.split()] == WORDS[:30]
    assert spoken.grown_mb == 0
