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
    assert len(spoken.first.audio) == MINUTE
    assert spoken.first.text.split() == WORDS[:60]
    assert len(spoken.last.audio) <= 61 * MINUTE // 60
    assert spoken.last.text.split() == WORDS[240 - len(spoken.last.audio) * 60 // MINUTE : 240]
    assert {error.percent for error in errors(Reads(), spoken).values()} == {0.0}


def test_a_text_that_is_too_short_is_kept_whole() -> None:
    spoken = speak_long(pieces(30), TEXT, 4, lambda _: None)
    assert spoken.first.text.split() == spoken.last.text.split() == WORDS[:30]
    assert spoken.grown_mb == 0
