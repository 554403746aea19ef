"""Sentences for the voice: what the assistant would say, and what is hard to say."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from assistant.errors import DependencyError
from assistant.model.speaking.spoken_numbers import MONTHS
from assistant.paths import ROOT
from assistant.training.texts import dialogues, punctuated, put_aside

VOICE = ROOT / "data" / "voice"
GAP = re.compile(r"\{(\w+)\}")
TEST_PART = 25  # one fact in so many is put aside
LONGEST = 300  # characters of a training sentence


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text to speak, with what was said before it."""

    text: str
    ask: str = ""  # what the user said before, empty where nothing
    style: str = "neutral"  # as the dialogue marks its reply


def answers(test: bool) -> list[Sentence]:
    """Answers of the dialogues with the first wording of what was asked."""
    found = []
    for record in dialogues(test):
        turns = record["turns"]
        assert isinstance(turns, list)
        for turn in turns:
            asks = turn.get("ask") or [""]
            found += [
                Sentence(punctuated(text), asks[0], turn.get("style", "neutral"))
                for text in turn.get("answer", ())
            ]
    return found


def asks(test: bool) -> list[Sentence]:
    """What users say in the dialogues, as sentences to speak."""
    found = []
    for record in dialogues(test):
        turns = record["turns"]
        assert isinstance(turns, list)
        found += [
            Sentence(punctuated(text[:1].upper() + text[1:]))
            for turn in turns
            for text in turn.get("ask", ())
        ]
    return found


def facts(test: bool) -> list[Sentence]:
    """One-line statements of the package randfacts (MIT): names, numbers and rare words in running text."""
    try:
        text = (resources.files("randfacts") / "safe.txt").read_text(encoding="utf-8")
    except ModuleNotFoundError as error:
        raise DependencyError("randfacts is missing: install vivavoce[train]") from error
    kept = (line.strip() for line in text.splitlines())
    return [
        Sentence(punctuated(line))
        for line in kept
        if 20 <= len(line) <= LONGEST and put_aside(line, TEST_PART) == test
    ]


class Templates:
    """Fills the gaps of the project's own templates."""

    def __init__(self, words: list[str], folder: Path = VOICE) -> None:
        self.lines = (folder / "templates.txt").read_text(encoding="utf-8").splitlines()
        self.slots: dict[str, list[str]] = json.loads((folder / "slots.json").read_text(encoding="utf-8"))
        self.words = words

    def sentence(self, rng: random.Random) -> Sentence:
        """Make one sentence."""
        text = GAP.sub(lambda match: self.fill(match[1], rng), rng.choice(self.lines))
        return Sentence(text[:1].upper() + text[1:])

    def fill(self, slot: str, rng: random.Random) -> str:
        """Give something for a gap."""
        if slot == "word":
            return rng.choice(self.words)
        return rng.choice(self.slots[slot]) if slot in self.slots else number(slot, rng)


def number(slot: str, rng: random.Random) -> str:
    """Write a number, date, time or amount."""
    size = 10 ** rng.uniform(3, 9)
    whole = int(size) if rng.random() < 0.5 else int(size) // 1000 * 1000
    made: dict[str, Callable[[], str]] = {
        "small": lambda: str(rng.randint(1, 99)),
        "medium": lambda: str(rng.randint(100, 999)),
        "big": lambda: f"{whole:,}" if rng.random() < 0.8 else f"{rng.randint(1, 99)} million",
        "day": lambda: str(rng.randint(1, 31)),
        "year": lambda: str(rng.randint(1492, 2035)),
        "decade": lambda: f"{rng.choice((18, 19))}{rng.randint(1, 9)}0s",
        "decimal": lambda: f"{rng.uniform(0, 100):.{rng.randint(1, 2)}f}",
        "percent": lambda: f"{rng.randint(1, 100)}%",
        "signed": lambda: str(rng.randint(-25, 30)),
        "ordinal": lambda: ordinal(rng.randint(1, 40)),
        "time": lambda: rng.choice(("{}:{:02d}", "{}:{:02d} am", "{}:{:02d} pm", "{}:{:02d}pm")).format(
            rng.randint(1, 12), rng.choice((0, 15, 30, 45, rng.randint(0, 59)))
        ),
        "date": lambda: f"{rng.choice(MONTHS)} {rng.randint(1, 31)}, {rng.randint(1900, 2030)}",
        "money": lambda: (
            rng.choice("$$$£€") + rng.choice((f"{rng.randint(1, 999)}", f"{rng.uniform(1, 200):.2f}"))
        ),
        "phone": lambda: f"{rng.randint(200, 999)}-{rng.randint(0, 9999):04d}",
        "fraction": lambda: rng.choice(("1/2", "1/3", "2/3", "1/4", "3/4", "1/8")),
        "number": lambda: str(rng.choice((rng.randint(0, 100), rng.randint(100, 10_000)))),
    }
    return made[slot]()


def ordinal(value: int) -> str:
    """Write a number that tells a place."""
    ending = "th" if 10 <= value % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{ending}"


class TrainingText:
    """Draws training sentences from all sources."""

    def __init__(self, words: list[str]) -> None:
        self.sources = (answers(test=False), asks(test=False), facts(test=False))
        self.templates = Templates([word for word in words if not put_aside(word)])

    def draw(self, rng: random.Random) -> Sentence:
        """Give the next sentence."""
        kind = rng.choices((0, 1, 2, 3), weights=(36, 12, 22, 30))[0]
        return self.templates.sentence(rng) if kind == 3 else rng.choice(self.sources[kind])


def sentences_put_aside(words: list[str], seed: int = 2026) -> list[str]:
    """Make the 200 sentences that no training sees."""
    rng = random.Random(seed)
    short = [s.text for s in answers(test=True) if len(s.text) <= 160]
    templates = Templates([word for word in words if put_aside(word)])
    hard = [line for line in templates.lines if GAP.search(line) and "{word}" not in line and len(line) > 12]
    numbered = []
    for line in rng.sample(hard, 50):
        text = GAP.sub(lambda match: templates.fill(match[1], rng), line)
        numbered.append(text[:1].upper() + text[1:])
    rare = [", ".join(rng.sample(templates.words, 3)).capitalize() + "." for _ in range(10)]
    long = [f"{a} {b} {c}" for a, b, c in (rng.sample(short, 3) for _ in range(8))]
    brief = rng.sample([text for text in short if len(text) < 26], 12)
    rest = [s.text for s in rng.sample(asks(test=True), 20)]
    return [
        *rng.sample(short, 50),
        *numbered,
        *(s.text for s in rng.sample(facts(test=True), 50)),
        *rare,
        *long,
        *brief,
        *rest,
    ]
