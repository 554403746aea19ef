"""What is said in a moment while the assistant talks: agreement, or words of somebody who wants the floor."""

import json
import random

from assistant.paths import ROOT
from assistant.training.speech_data import Draw
from assistant.training.texts import WORD, Line, for_choices, lines, punctuated

PHRASES = ROOT / "data" / "bursts" / "phrases.json"
AGREE, FLOOR = "agree", "floor"  # kinds of lines
AGREE_PART, OTHER_PART = 0.5, 0.15  # of all bursts; the others are phrases that want the floor
MOST_WORDS = 3  # of what is drawn from asks


def burst_lines() -> Draw:
    """Draw bursts; some that want the floor are any words that begin an ask."""
    phrases: dict[str, list[str]] = json.loads(PHRASES.read_text(encoding="utf-8"))
    asks = [line.text for line in lines(test=False) if line.kind == "ask" and not for_choices(line.source)]
    agreeing = {words(phrase) for phrase in phrases[AGREE]}

    def draw(rng: random.Random) -> Line:
        chance = rng.random()
        kind = AGREE if chance < AGREE_PART else FLOOR
        if chance < 1 - OTHER_PART:
            return Line(rng.choice(phrases[kind]), kind, "")
        begun = words(rng.choice(asks))[: rng.randint(1, MOST_WORDS)]
        return Line(punctuated(" ".join(begun)), AGREE if begun in agreeing else FLOOR, "")

    return draw


def words(text: str) -> tuple[str, ...]:
    """The words alone."""
    return tuple(word.lower() for word in WORD.findall(text))
