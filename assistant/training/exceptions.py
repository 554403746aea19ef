"""Makes the list of words that the voice says as the lexicon has them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from assistant.model.speaking.normalize import ReaderState, read
from assistant.model.speaking.pronouncer import Pronouncer, spelling
from assistant.model.speaking.units import split_phones, unit_ids
from assistant.training.voice_batches import Entry
from assistant.training.voice_data import sentences, spell_out

CERTAIN = 0.97  # part of a word's places in sentences at which it is said the same
BATCH = 512
Phones = tuple[int, ...]


def said_in_sentences(texts: Iterable[str], reads: Callable[[str], str]) -> Iterator[tuple[str, Phones]]:
    """Every word of some texts as it is said in its sentence; ``reads`` gives phonemes, words apart."""
    ids = unit_ids()
    for text in texts:
        for words in sentences(read(ReaderState(), text, last=True)[0]):
            parts = reads(spell_out(words)).split(" ")
            if len(parts) != len(words):
                continue
            for word, part in zip(words, parts, strict=True):
                letters = "".join(char for char in part if char.isalpha() or char in "ˈˌ")
                phones = split_phones(letters.replace("ɾ", "T").replace("ʔ", "t"))
                if phones:
                    yield word.text, tuple(ids[phone] for phone in phones)


def exceptions(
    lexicon: Sequence[Entry], seen: Iterable[tuple[str, Phones]], pronouncer: Pronouncer
) -> dict[str, Phones]:
    """Words with one way to say them: those seen in sentences, and of the lexicon's others those that the
    pronouncer says differently.
    """
    heard: dict[str, Counter[Phones]] = defaultdict(Counter)
    for word, phones in seen:
        heard[word][phones] += 1
    said = {}
    for word, ways in heard.items():
        best, count = ways.most_common(1)[0]
        if count >= CERTAIN * ways.total():
            said[word] = best
    ways_of: dict[str, set[Phones]] = defaultdict(set)
    for entry in lexicon:
        ways_of[entry.word].add(entry.phones)
    single = [entry for entry in lexicon if len(ways_of[entry.word]) == 1 and entry.word not in heard]
    for start in range(0, len(single), BATCH):
        batch = single[start : start + BATCH]
        spelled = spelling([("", entry.word, "") for entry in batch])
        capitals = torch.tensor([int(entry.capital) for entry in batch])
        with torch.inference_mode():
            guessed = pronouncer.pronounce(spelled, capitals, None)
        said |= {
            entry.word: entry.phones
            for entry, own in zip(batch, guessed, strict=True)
            if tuple(own) != entry.phones
        }
    return said
