"""What is spoken in training, and which of it is put aside for tests."""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assistant.paths import ROOT

DIALOGUES = ROOT / "data" / "dialogues"
TEST_PART = 20  # one dialogue in so many is put aside, chosen by its id
CHOICE_PART = 20  # of the others, one in so many is never learned: settings are chosen on it
TEST_CUTOFF_PART = 10  # one cut-off record in so many is put aside, chosen by its text
WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")
SENTENCE_ENDS = ".?!"
AT_PAUSE = 0.7  # of the sentences broken off that name their pauses
BEGUN = "begun"  # kind of a line that is only the beginning of a sentence
BEGUN_MARKS = (
    ",",
    ",",
    "...",
    "...",
    "",
    ".",
)  # how a voice leaves it: mostly open, now and then as if it were over
VOWELS = re.compile(r"[aeiouy]+")
QUESTION_WORDS = frozenset(
    [
        "what",
        "who",
        "where",
        "when",
        "why",
        "how",
        "which",
        "whose",
        "is",
        "are",
        "am",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "should",
        "have",
        "has",
    ]
)


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence to speak."""

    text: str
    kind: str  # "ask", "answer" or "cutoff"
    source: str  # id of the dialogue, or the complete sentence of a cut-off
    turn: int = 0
    pauses: tuple[str, ...] = ()  # for a cut-off: the beginnings after which a speaker may pause
    fillers: tuple[str, ...] = ()


def put_aside(key: str, part: int = TEST_PART) -> bool:
    """Tell whether a dialogue is for tests only; depends on nothing but its id."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % part == 0


def for_choices(source: str) -> bool:
    """Tell whether what comes from this dialogue is never learned, so that settings can be chosen on it."""
    return bool(source) and put_aside(f"choice {source}", CHOICE_PART)


def read_records(name: str, folder: Path = DIALOGUES) -> list[dict[str, object]]:
    """Read one file of dialogues."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines() if line.strip()]


def dialogues(test: bool, folder: Path = DIALOGUES) -> Iterator[dict[str, object]]:
    """Give the dialogues with turns, only those put aside or only the others."""
    for path in sorted(folder.glob("*.jsonl")):
        for record in read_records(path.stem, folder):
            if "turns" in record and put_aside(str(record["id"])) == test:
                yield record


def lines(test: bool, folder: Path = DIALOGUES) -> list[Line]:
    """Every ask and answer of the dialogues and every cut-off sentence, in file order."""
    found = []
    for record in dialogues(test, folder):
        turns = record["turns"]
        assert isinstance(turns, list)
        for index, turn in enumerate(turns):
            for kind in ("ask", "answer"):
                found += [Line(text, kind, str(record["id"]), index) for text in turn.get(kind, ())]
    for record in read_records("cutoffs", folder):
        complete = str(record["complete"])
        if put_aside(complete, TEST_CUTOFF_PART) == test:
            pauses, after = record.get("pauses", ()), record.get("after", ())
            assert isinstance(pauses, list)
            assert isinstance(after, list)
            found.append(Line(complete, "cutoff", complete, 0, tuple(pauses), tuple(after)))
    return found


def punctuated(text: str) -> str:
    """End a sentence with a mark, so that a voice knows how to end it."""
    text = text.strip()
    if text and text[-1] in SENTENCE_ENDS:
        return text
    first = WORD.search(text.lower())
    asks = first is not None and first.group().split("'")[0] in QUESTION_WORDS
    return text + ("?" if asks else ".")


def broken_off(line: Line, rng: random.Random) -> str | None:
    """A beginning of a sentence after which more must come; nothing where there is none."""
    words = line.text.split()
    ends = [n for n in range(1, len(words)) if words[n - 1][-1] not in SENTENCE_ENDS]
    if line.pauses and rng.random() < AT_PAUSE:
        return rng.choice(line.pauses)
    return " ".join(words[: rng.choice(ends)]) if ends else None


def begun(lines: list[Line]) -> Callable[[random.Random], Line]:
    """What speakers say before they stop to think, each with a mark for the voice."""
    asks = [line for line in lines if line.kind == "ask"]
    cuts = [line for line in lines if line.kind == "cutoff"]

    def draw(rng: random.Random) -> Line:
        text = None
        while not text:
            line = rng.choice(asks if rng.random() < 0.5 or not cuts else cuts)
            text = broken_off(line, rng)
        return Line(text.rstrip(",;:") + rng.choice(BEGUN_MARKS), BEGUN, line.source, line.turn)

    return draw


def always_capital(texts: list[str]) -> frozenset[str]:
    """Find the words that stand with a capital letter inside sentences: names, "I"."""
    capital: Counter[str] = Counter()
    small: Counter[str] = Counter()
    for text in texts:
        for match in list(WORD.finditer(text))[1:]:
            before = text[: match.start()].rstrip()
            if before and before[-1] in '.?!"':
                continue
            word = match.group()
            (capital if word[0].isupper() else small)[word.lower()] += 1
    return frozenset(word for word, count in capital.items() if count > 2 * small[word]) | {
        "i",
        "i'm",
        "i'll",
        "i've",
        "i'd",
    }


def spoken_form(text: str, names: frozenset[str]) -> str:
    """Give the words alone, as the hearing learns to write them: no marks, small letters but in names."""
    words = []
    for match in WORD.finditer(text.replace("’", "'")):
        word = match.group()
        words.append(word if word.lower() in names and word[0].isupper() else word.lower())
    return " ".join(words)


def syllables(text: str) -> int:
    """Count syllables by the groups of vowels of each word, a silent e left out; about right."""
    count = 0
    for match in WORD.finditer(text.replace("’", "'")):
        word = match.group().lower().split("'")[0]
        groups = len(VOWELS.findall(word))
        silent = word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1
        count += max(1, groups - silent)
    return count


def scrambled(texts: list[str], rng: random.Random) -> str:
    """Make a sentence without sense from words that occur: hearing must not lean on what is likely."""
    words = [rng.choice(WORD.findall(rng.choice(texts)) or ["well"]) for _ in range(rng.randint(2, 9))]
    return punctuated(" ".join(words))
