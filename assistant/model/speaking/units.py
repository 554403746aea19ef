"""The sounds that the voice is made of: phones with their stress, and the boundaries between words.

A word is known by its phones ("ˈA"); when it is spoken, a stress is a unit of its own before its vowel,
because the teacher gives it time of its own: the first part of the vowel.

Phones are written in the alphabet of the misaki lexicon (Apache-2.0): one character each, diphthongs and
affricates as capitals and ligatures ("O" as in go, "ʧ" as in chin, "T" the flap in butter).
"""

from collections.abc import Mapping, Sequence

CONSONANTS = "bdfhjklmnpstvwzɡŋɹʃʒðθʤʧT"
VOWELS = "AIOWYiuɑɔɛɜɪʊʌæəᵊᵻ"
STRESSES = ("", "ˈ", "ˌ")
BOUNDARIES = (" ", ",", ".", "!", "?")  # after a word: none, or its mark
START = "^"  # the breath before a sentence

PHONES: tuple[str, ...] = (*CONSONANTS, *(stress + vowel for vowel in VOWELS for stress in STRESSES))
PAD = 0  # also the blank between phones
UNITS: tuple[str, ...] = ("_", *PHONES, *BOUNDARIES, START, *STRESSES[1:])
N_PHONES = 1 + len(PHONES)  # the pronouncer's classes, blank included


def unit_ids() -> dict[str, int]:
    """Number every unit."""
    return {unit: index for index, unit in enumerate(UNITS)}


def stresses() -> dict[int, int]:
    """The unit of the stress of every stressed phone."""
    ids = unit_ids()
    return {ids[stress + vowel]: ids[stress] for stress in STRESSES[1:] for vowel in VOWELS}


def spoken(phones: Sequence[int], stress_of: Mapping[int, int]) -> list[int]:
    """Units of a word's phones: stresses set apart; see ``stresses``."""
    units = []
    for phone in phones:
        if phone in stress_of:
            units.append(stress_of[phone])
        units.append(phone)
    return units


def split_phones(phonemes: str) -> list[str] | None:
    """Cut a phoneme string into phones with their stress; nothing if a character is unknown."""
    phones, stress = [], ""
    for char in phonemes:
        if char in "ˈˌ":
            stress = char
            continue
        phone = (stress if char in VOWELS else "") + char
        if char not in VOWELS and char not in CONSONANTS:
            return None
        phones.append(phone)
        stress = "" if char in VOWELS else stress
    return phones
