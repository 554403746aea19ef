"""Reads the corpus of ``voice_data`` and the lexicon, and lays out batches for the mel head."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

from assistant.errors import WeightsError
from assistant.model.speaking.pronouncer import Spelling, spelling
from assistant.model.speaking.prosody import Windows, windows
from assistant.model.speaking.units import N_PHONES, split_phones, unit_ids
from audiocodec.numbers import MEL_HOP_LENGTH

NEUTRAL_WEIGHT = 3  # how much likelier a neutral sentence is drawn: it is what is spoken most
POOL = 4  # batches drawn together and sorted by length, so that little is padding


@dataclass(frozen=True, slots=True)
class Example:
    """One sentence; arrays are views into its shard."""

    words: tuple[str, ...]
    capitals: tuple[bool, ...]
    counts: tuple[int, ...]
    style: int
    pitch: float
    rate: float
    units: NDArray[np.int16]
    spans: NDArray[np.int16]
    f0: NDArray[np.float16]
    mel: NDArray[np.float16]
    hidden: NDArray[np.float16]
    pcm: NDArray[np.int16] | None = None  # where the corpus kept it,
    filters: NDArray[np.float16] | None = None  # (frames, 2 * BINS), and the teacher's filters
    rest: NDArray[np.float16] | None = None  # (frames * 4 // 5, 2 * REST_BINS), and rest, see teacher.py


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences laid out for the nets; flat over words, units and frames, sentence after sentence."""

    spelled: Spelling
    phones: list[list[int]]  # per word
    window: Windows
    capitals: Tensor  # (words,)
    states: Tensor  # (words, 2 * D)
    next_states: Tensor  # (words, 2 * D), zero at a sentence's end
    word_styles: Tensor  # (words,)
    styles: Tensor  # (B,)
    words_per_sentence: list[int]
    units_per_sentence: list[int]
    frames_per_sentence: list[int]
    spans: Tensor  # (units,) int64
    rates: Tensor  # (units,)
    f0: Tensor  # (frames,)
    pitches: Tensor  # (frames,)
    mel: Tensor  # (frames, N_MELS)


def read_corpus(folder: Path) -> list[Example]:
    """Read all shards of a corpus."""
    examples = []
    for table in sorted(folder.glob("*.jsonl")):
        arrays = load_file(table.with_suffix(".safetensors"))
        unit = frame = word = 0
        for line in table.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            units, frames, words = record["units"], record["frames"], len(record["words"])
            examples.append(
                Example(
                    words=tuple(record["words"]),
                    capitals=tuple(record["capitals"]),
                    counts=tuple(record["counts"]),
                    style=record["style"],
                    pitch=record["pitch"],
                    rate=record["rate"],
                    units=arrays["units"][unit : unit + units],
                    spans=arrays["spans"][unit : unit + units],
                    f0=arrays["f0"][frame : frame + frames],
                    mel=arrays["mel"][frame : frame + frames],
                    hidden=arrays["hidden"][word : word + words],
                    pcm=arrays["pcm"][frame * MEL_HOP_LENGTH : (frame + frames) * MEL_HOP_LENGTH]
                    if "pcm" in arrays
                    else None,
                    filters=arrays["filters"][frame : frame + frames] if "filters" in arrays else None,
                    rest=arrays["rest"][frame * 4 // 5 : (frame + frames) * 4 // 5]
                    if "rest" in arrays
                    else None,
                )
            )
            unit, frame, word = unit + units, frame + frames, word + words
    if not examples:
        raise WeightsError(f"no speech in {folder}: run `vivavoce train voice-data`")
    return examples


def words_of(example: Example) -> list[list[int]]:
    """Unit ids per word; the breath before the sentence belongs to the first one."""
    borders = np.cumsum([1, *example.counts])
    found = [example.units[a:b].tolist() for a, b in zip(borders[:-1], borders[1:], strict=True)]
    found[0].insert(0, int(example.units[0]))
    return found


def lay_out(examples: list[Example]) -> Batch:
    """Make a batch of sentences."""
    letters, triples, phones, nexts = [], [], [], []
    for example in examples:
        texts, units = ("", *example.words, ""), [[], *words_of(example), []]
        letters += list(zip(texts[:-2], texts[1:-1], texts[2:], strict=True))
        triples += list(zip(units[:-2], units[1:-1], units[2:], strict=True))
        phones += [[unit for unit in own if unit < N_PHONES] for own in units[1:-1]]
        nexts.append(np.concatenate([example.hidden[1:], np.zeros_like(example.hidden[:1])]))
    words = [len(example.words) for example in examples]
    frames = [len(example.f0) for example in examples]
    units_each = torch.tensor([len(example.units) for example in examples])
    styles = torch.tensor([example.style for example in examples])

    def joined(name: str) -> Tensor:
        return torch.from_numpy(
            np.concatenate([getattr(example, name) for example in examples]).astype(np.float32)
        )

    return Batch(
        spelled=spelling(letters),
        phones=phones,
        window=windows(triples),
        capitals=torch.tensor([int(c) for example in examples for c in example.capitals]),
        states=joined("hidden"),
        next_states=torch.from_numpy(np.concatenate(nexts).astype(np.float32)),
        word_styles=styles.repeat_interleave(torch.tensor(words)),
        styles=styles,
        words_per_sentence=words,
        units_per_sentence=units_each.tolist(),
        frames_per_sentence=frames,
        spans=joined("spans").long(),
        rates=torch.tensor([example.rate for example in examples]).repeat_interleave(units_each),
        f0=joined("f0"),
        pitches=torch.tensor([example.pitch for example in examples]).repeat_interleave(torch.tensor(frames)),
        mel=joined("mel"),
    )


def draw(examples: list[Example], size: int, seed: int, step: int) -> list[Example]:
    """Draw the sentences of one step: of a similar length, each step by its own number."""
    rng = random.Random(f"{seed} {step // POOL}")
    pool = rng.choices(examples, [NEUTRAL_WEIGHT if one.style == 0 else 1 for one in examples], k=size * POOL)
    pool.sort(key=lambda example: len(example.f0))
    order = list(range(POOL))
    rng.shuffle(order)
    place = order[step % POOL] * size
    return pool[place : place + size]


@dataclass(frozen=True, slots=True)
class Entry:
    """One word of the lexicon."""

    word: str
    capital: bool
    phones: tuple[int, ...]


def lexicon(pairs: dict[str, str]) -> list[Entry]:
    """Turn spelling and phonemes into entries; what has other letters or sounds is left out."""
    ids, found = unit_ids(), []
    for word, phonemes in pairs.items():
        plain = word.lower() if len(word) > 1 else word
        if not all(char.isascii() and (char.isalpha() or char == "'") for char in word) or len(word) > 24:
            continue
        phones = split_phones(phonemes.replace("ɾ", "T").replace("ʔ", "t"))
        if phones and len(phones) <= 3 * len(word) + 6 and all(phone in ids for phone in phones):
            found.append(Entry(plain, word[0].isupper(), tuple(ids[phone] for phone in phones)))
    return found
