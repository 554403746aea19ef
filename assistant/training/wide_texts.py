"""Sentences with many words, for ears that must know more than the dialogues say.

What is heard well is what was often said in training. So words are drawn first, the seldom ones more often
than they occur, and then sentences with them.
Sources: definitions and examples of WordNet 3.0 (its own licence), chats of ``chitchat-dataset`` (MIT), the
dialogues.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

from assistant.errors import DependencyError
from assistant.paths import ROOT
from assistant.training.texts import WORD, Line, for_choices, lines, punctuated

WORDS = ROOT / "data" / "words" / "words.tsv"
WORDNET = Path("/usr/share/wordnet")
MARKS = re.compile(r"[ˈˌː\W\d_]")  # of stress, length, sentences
QUOTED = re.compile(r'"([^"]+)"')
BRACKETED = re.compile(r"\([^)]*\)")
FEWEST, MOST = 3, 16  # words of a sentence
LEAST_COUNT = 3  # of a word in the packages' sentences
OWN_WORTH = 8  # a word in the dialogues counts as so many elsewhere
FLATNESS = 0.4  # words are drawn by their count to this power
WIDE = "wide"  # kind of the packages' sentences
LOOSE = 0.4  # part of the sentences that are words without sense


@dataclass(frozen=True, slots=True)
class Word:
    """A word, how often it occurs, and how it sounds to Americans and Britons."""

    text: str
    count: int
    american: str  # phonemes, without stress
    british: str


def read_words(path: Path = WORDS) -> list[Word]:
    """Read the list of words that hearing is taught."""
    rows = (line.split("\t") for line in path.read_text().splitlines())
    return [Word(text, int(count), american, british) for text, count, american, british in rows]


def package_sentences(wordnet: Path = WORDNET) -> list[str]:
    """Every sentence of fitting length of the packages, once each, in order.

    Raises:
        DependencyError: one of them is not installed.
    """
    return [text for text in dict.fromkeys([*_examples(wordnet), *_chats()]) if _fits(text)]


def definitions(wordnet: Path = WORDNET) -> list[str]:
    """Every definition of fitting length in WordNet, its parts apart, once each, in order: half as many again
    of the listed words stand in ten sentences or more with them.

    Raises:
        DependencyError: WordNet is not installed.
    """
    parts = (
        " ".join(part.split()).strip(" ,")
        for gloss in _glosses(wordnet)
        for part in re.split(r"[;:]", BRACKETED.sub(" ", QUOTED.sub(" ", gloss)))
    )
    return [part for part in dict.fromkeys(parts) if _fits(part)]


def _examples(folder: Path) -> Iterator[str]:
    for gloss in _glosses(folder):
        yield from QUOTED.findall(gloss)


def _glosses(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise DependencyError(f"no WordNet in {folder}: install the system package wordnet-base")
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="latin-1").splitlines():
            yield line.partition(" | ")[2]


def _chats() -> Iterator[str]:
    spec = find_spec("chitchat_dataset")
    if spec is None or spec.origin is None:
        raise DependencyError("chitchat-dataset is missing: install vivavoce[train]")
    chats = json.loads((Path(spec.origin).parent / "dataset.json").read_text())
    for chat in chats.values():
        for turn in chat["messages"]:
            for message in turn:
                yield from re.split(r"(?<=[.?!])\s+", message["text"])


def _fits(text: str) -> bool:
    return FEWEST <= len(WORD.findall(text)) <= MOST and not re.search(r"[^A-Za-z' ,.?!;:’-]", text)


def count_words(sentences: list[str], known: Callable[[str], bool]) -> Counter[str]:
    """Count words of the dialogues and the packages; of the latter only those that are ``known``."""
    own = Counter(word.lower() for line in lines(test=False) for word in _words(line.text))
    wide = Counter(word.lower() for text in sentences for word in _words(text))
    found = Counter({word: OWN_WORTH * count for word, count in own.items()})
    found.update({word: count for word, count in wide.items() if count >= LEAST_COUNT and known(word)})
    return found


def _words(text: str) -> list[str]:
    return WORD.findall(text.replace("’", "'"))


class WideTexts:
    """Draws sentences so that seldom words are heard as well."""

    def __init__(self, words: list[Word], sentences: list[str]) -> None:
        """``sentences`` besides those of the dialogues; those with an unknown word are left out."""
        self.words = [word.text for word in words]
        self.weights = list(accumulate(word.count**FLATNESS for word in words))
        places = {word: index for index, word in enumerate(self.words)}
        tested = {" ".join(_words(line.text)).lower() for line in lines(test=True)}
        self.lines = lines(test=False)
        plain = {text: " ".join(_words(text)).lower() for text in sentences}
        self.lines += [Line(text, WIDE, f"wide {plain[text]}") for text in plain if plain[text] not in tested]
        self.kept = [line for line in self.lines if line.kind == WIDE and for_choices(line.source)]
        self.places: list[list[int]] = [[] for _ in words]
        for number, line in enumerate(self.lines):
            found = [places.get(word.lower(), -1) for word in _words(line.text)]
            if -1 not in found:
                for place in set(found):
                    self.places[place].append(number)

    def draw(self, rng: random.Random) -> Line:
        """Give a sentence with a word that was drawn, or a few drawn words one after the other."""
        while rng.random() >= LOOSE:
            if found := self.places[self._word(rng)]:
                return self.lines[rng.choice(found)]
        words = " ".join(self.words[self._word(rng)] for _ in range(rng.randint(2, 7)))
        return Line(punctuated(words), "scrambled", "")

    def put_aside(self, rng: random.Random) -> Line:
        """Give a sentence of the packages on which settings are chosen, whatever its words."""
        return rng.choice(self.kept)

    def _word(self, rng: random.Random) -> int:
        return rng.choices(range(len(self.words)), cum_weights=self.weights)[0]


def write_words(sentences: list[str], path: Path = WORDS) -> int:
    """Write the list of words, the frequent ones first, and give their number. The phonemes are hibari's."""
    from assistant.training.voices import Phonemes

    phonemes = Phonemes()
    rows = []
    for word, count in count_words(sentences, phonemes.knows).most_common():
        american, british = (MARKS.sub("", say(word) or "") for say in phonemes.sides())
        if american and british:
            rows.append(f"{word}\t{count}\t{american}\t{british}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(sorted(rows, key=lambda row: (-int(row.split("\t")[1]), row))))
    return len(rows)
