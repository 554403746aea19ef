"""Ways in which people say words and made voices do not.

A speaker has a few habits and keeps them for a sentence: sounds that are left out, run together or exchanged
for neighbours. They are written on the phonemes that the voices are given, so that the words stay known.
Source of the kinds: Wells 1982, Accents of English, volume 1, chapter 3.
"""

import re
from collections.abc import Container

import numpy as np

HABITS_A_SPEAKER = 2.0  # on average
STRESSES = "ˈˌː"
VOWELS = "aeiouæɑɒɔəɚɛɜɪʊʌᵊᵻAIOQWY"
HABITS: tuple[tuple[str, tuple[str, ...]], ...] = (  # what is said, and what may be said for it
    (r"\bænd\b", ("ənd", "ən")),
    (r"(?<=.)ɪŋ\b", ("ɪn",)),
    (r"T", ("t", "d")),
    (r"(?<=.)t\b", ("ʔ", "")),
    (rf"(?<=[^{VOWELS}ɹ])[td]\b", ("",)),
    (r"θ", ("f", "t", "s")),
    (r"ð", ("d", "v", "z")),
    (r"^h(?=[^ˈˌ])", ("",)),
    (rf"(?<=[{VOWELS}])ɹ(?![{VOWELS}ˈˌ])", ("", "ː")),
    (r"ə\b", ("əɹ", "ʌ")),
    (r"z\b", ("s",)),
    (r"v", ("w", "f")),
    (r"w", ("v",)),
    (rf"(?<=[{VOWELS}])l\b", ("ʊ", "")),
    (r"ʤ", ("ʒ", "ʧ")),
    (r"(?<=[tdnszl])j(?=u)", ("",)),
    (r"ŋ", ("n",)),
    (r"ɹ", ("ɾ",)),
    (r"æ", ("a", "ɛ", "ɑ")),
    (r"ɑ", ("ɔ", "ɒ", "a")),
    (r"[ɔɒ]", ("ɑ", "O")),
    (r"ɪ", ("i", "ə")),
    (r"i", ("ɪ",)),
    (r"ʊ", ("u",)),
    (r"u", ("ʊ",)),
    (r"ʌ", ("ə", "ʊ", "a")),
    (r"ɛ", ("e", "ɪ", "æ")),
    (r"ɛ(?=[mn])", ("ɪ",)),
    (r"ə", ("ɪ", "ʌ")),
    (r"A", ("ɛ", "I")),
    (r"O", ("Q", "ɔ", "W")),
    (r"I", ("Y", "a", "ɑ")),
    (r"W", ("ɑ", "O")),
    (r"ˌ", ("",)),
)
KEPT = 0.8  # how often a habit shows
PAUSE = 0.03  # of the places between words


def said_differently(phonemes: str, known: Container[str], rng: np.random.Generator) -> str:
    """Phonemes of a sentence, of those that are ``known``, as somebody with a few habits says them, who stops
    between words at times.

    Every word keeps a sound of its own.
    """
    words = phonemes.split(" ")
    for number in rng.permutation(len(HABITS))[: int(rng.poisson(HABITS_A_SPEAKER))]:
        pattern, ways = HABITS[int(number)]
        way = ways[int(rng.integers(len(ways)))]
        words = [_say(word, pattern, way, rng) for word in words]
    stops = [word[-1:].isalpha() and rng.random() < PAUSE for word in words[:-1]]
    said = " ".join(word + "," * stop for word, stop in zip(words, [*stops, False], strict=True))
    return "".join(mark for mark in said if mark in known)


def _say(word: str, pattern: str, way: str, rng: np.random.Generator) -> str:
    changed = re.sub(pattern, lambda found: way if rng.random() < KEPT else found[0], word)
    return changed if any(mark.isalpha() and mark not in STRESSES for mark in changed) else word
