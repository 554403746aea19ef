"""Words that are said as a list has them, because spelling does not tell: "budget", "john", the letter "H".

The list belongs to the voice's weights; training makes it from the lexicon that the pronouncer is taught
(`assistant.training.exceptions`). Words that are said in more than one way are never in it: they are left to
the pronouncer, which sees the sentence.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from assistant.model.speaking.units import UNITS, split_phones, unit_ids

Said = Mapping[str, tuple[int, ...]]  # letters as the pronouncer would get them: unit ids


def packed(said: Said) -> Tensor:
    """The list as bytes (N,) uint8: a line a word, its letters, a tab, its phones."""
    lines = (f"{word}\t{''.join(UNITS[unit] for unit in units)}\n" for word, units in sorted(said.items()))
    return torch.tensor(list("".join(lines).encode()), dtype=torch.uint8)


def unpacked(data: Tensor) -> dict[str, tuple[int, ...]]:
    """What ``packed`` wrote.

    Raises:
        ValueError: it is damaged.
    """
    ids, said = unit_ids(), {}
    for line in bytes(data.tolist()).decode().splitlines():
        word, tab, phonemes = line.partition("\t")
        phones = split_phones(phonemes)
        if not tab or not phones:
            raise ValueError(f"{line!r} is no word with its phones")
        said[word] = tuple(ids[phone] for phone in phones)
    return said
