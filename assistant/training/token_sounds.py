"""How the transformer's tokens sound: whole words by the list of words, pieces by their shares of the words
that they are found in.
"""

from collections import Counter, defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from assistant.training.wide_texts import Word
from audiocodec.token_sounds import LONGEST, SIDES, numbers


def shares(phones: str, pieces: list[str]) -> list[str]:
    """Cut a word's phones at its pieces, each getting as many as its letters say."""
    letters = [max(1, sum(map(str.isalpha, piece))) for piece in pieces]
    cuts, done = [0], 0
    for count in letters:
        done += count
        cuts.append(round(len(phones) * done / sum(letters)))
    return [phones[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]


def token_sounds(
    words: list[Word], tokens: Tensor, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str]
) -> Tensor:
    """Give phones (V, SIDES, LONGEST) of tokens (V,): of each the sound that it has most often, zeros where
    no word has it.

    A token may stand for words and for names, so each word is looked at in small letters and with a capital.
    """
    found: dict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    for word in words:
        for form, worth in ((word.text, 1.0), (word.text.capitalize(), 0.5)):
            spelled = encode(" " + form)
            pieces = [decode([token]) for token in spelled]
            sides = [shares(phones, pieces) for phones in (word.american, word.british)]
            for token, american, british in zip(spelled, *sides, strict=True):
                found[token][american, british] += worth * word.count**0.5
    phones = torch.zeros(len(tokens), SIDES, LONGEST, dtype=torch.uint8)
    for row, token in enumerate(tokens.tolist()):
        if token in found:
            sounds = found[token].most_common(1)[0][0]
            starts = decode([token]).startswith(" ")
            for side, sound in enumerate(sounds):
                spelled = numbers(sound, starts)
                phones[row, side, : len(spelled)] = torch.tensor(spelled, dtype=torch.uint8)
    return phones
