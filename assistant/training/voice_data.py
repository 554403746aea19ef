"""Speech for the mel head: every sentence with its words, phones, durations, pitch, mel and hidden states.

A folder of shards: ``NNNN.safetensors`` holds the arrays of all sentences one after the other,
``NNNN.jsonl`` one record a sentence.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from assistant.model.speaking.normalize import ReaderState, Word, read
from assistant.model.speaking.units import BOUNDARIES, CONSONANTS, START, STRESSES, VOWELS, unit_ids
from assistant.training.hidden_states import HiddenStates
from assistant.training.teacher import MANNERS, Manner, Teacher, blend, filters_at, pitch_at, rests_at
from assistant.training.vocoder_data import LEVEL
from assistant.training.voice_text import Sentence, TrainingText
from audiocodec.mel import LogMel
from audiocodec.numbers import MEL_HOP_LENGTH
from audiocodec.rest import GROUP_HOPS, REST_HOP
from audiocodec.vocoder import BINS

SHARD_SENTENCES = 250
STYLES = tuple(MANNERS)
STYLE_SHARES = (60, 10, 10, 7, 13)  # percent, in the order of STYLES
LEAST_START = 3  # frames kept before a sentence where there are so many; at most four more than are wanted
AUDIBLE = 0.002  # of full scale: the teacher's first consonants begin well before their own durations do
LONGEST_END = 30  # frames of silence kept after it
# How the styles that dialogues mark colour a neutral request: the head can only learn it from hidden states.
COLOURS = {
    "excited": blend(MANNERS["excited"], 0.5),
    "happy": blend(MANNERS["cheerful"], 0.6),
    "sad": blend(MANNERS["calm"], 0.8),
    "slow": blend(MANNERS["calm"], 0.8),
    "tired": blend(MANNERS["calm"], 0.8),
    "whisper": blend(MANNERS["calm"], 0.6),
    "fast": Manner(rate=1.1),
    "shout": blend(MANNERS["excited"], 0.5),
}


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one sentence besides its arrays."""

    words: tuple[str, ...]
    capitals: tuple[bool, ...]
    counts: tuple[int, ...]  # units of each word, the boundary after it included
    units: int
    frames: int
    style: int
    pitch: float  # factor asked for besides the style's
    rate: float


def sentences(words: list[Word]) -> Iterator[list[Word]]:
    """Cut words into sentences."""
    found: list[Word] = []
    for word in words:
        found.append(word)
        if word.ends_sentence:
            yield found
            found = []
    if found:
        yield found


def spell_out(words: list[Word]) -> str:
    """Write words the way the teacher's reader takes them."""
    parts = [(word.text.capitalize() if word.capital else word.text) + word.mark for word in words]
    text = " ".join(parts)
    return text[:1].upper() + text[1:]


def units_of(
    phonemes: str, durations: NDArray[np.int64], words: list[Word]
) -> tuple[list[int], list[int], list[int]] | None:
    """Turn the teacher's characters and durations into units, durations and units per word.

    Gives nothing where the teacher's words are not ours, or a stress does not stand before its vowel.
    """
    ids = unit_ids()
    chunks = phonemes.split(" ")
    if len(chunks) != len(words):
        return None
    units, spans, counts = [ids[START]], [int(durations[0])], []
    place = 1
    for index, (chunk, word) in enumerate(zip(chunks, words, strict=True)):
        first, mark, stress = len(units), 0, ""
        for char in chunk:
            span = int(durations[place])
            place += 1
            if char in STRESSES[1:] and not stress:
                units.append(ids[char])
                spans.append(span)
                stress = char
            elif char in VOWELS or (char in CONSONANTS and not stress):
                units.append(ids[stress + char])
                spans.append(span)
                stress = ""
            elif char in BOUNDARIES:
                mark += span
            else:
                return None
        if len(units) == first or stress:
            return None
        mark += int(durations[place])  # the space, or the pad at the end
        place += 1
        units.append(ids[word.mark or (" " if index + 1 < len(words) else ".")])
        spans.append(mark)
        counts.append(len(units) - first)
    return units, spans, counts


class VoiceMaker:
    """Speaks sentences and writes down everything about them."""

    def __init__(self, states: HiddenStates, keep_sound: bool = False) -> None:
        self.teacher, self.states, self.mel, self.keep_sound = Teacher(), states, LogMel(), keep_sound

    def make(
        self, sentence: Sentence, rng: random.Random
    ) -> list[tuple[Record, dict[str, NDArray[np.generic]]]]:
        """Make all sentences of one text; what the teacher reads otherwise is left out."""
        words, _ = read(ReaderState(), sentence.text, last=True)
        if not words:
            return []
        hidden = self.states.at_words(sentence.text, words, sentence.ask, rng).numpy()
        style = rng.choices(range(len(STYLES)), weights=STYLE_SHARES)[0]
        pitch = 1.0 if rng.random() < 0.5 else 2 ** rng.uniform(-0.3, 0.3)
        rate = 1.0 if rng.random() < 0.4 else 2 ** rng.uniform(-0.55, 0.5)
        manner = MANNERS[STYLES[style]] if style else COLOURS.get(sentence.style, MANNERS["neutral"])
        manner = Manner(
            manner.pitch * pitch, manner.spread, manner.rate * rate, manner.gain_db, manner.whispered
        )
        made, first = [], 0
        for part in sentences(words):
            spoken = self.speak(part, manner, rng.randrange(2**31))
            if spoken is not None:
                counts, arrays = spoken
                arrays["hidden"] = hidden[first : first + len(part)]
                texts, capitals = tuple(w.text for w in part), tuple(w.capital for w in part)
                sizes = (len(arrays["units"]), len(arrays["f0"]))
                made.append((Record(texts, capitals, tuple(counts), *sizes, style, pitch, rate), arrays))
            first += len(part)
        return made

    def speak(
        self, words: list[Word], manner: Manner, seed: int
    ) -> tuple[list[int], dict[str, NDArray[np.generic]]] | None:
        """Speak one sentence: units per word, and unit ids, frames per unit, pitch and mel per frame."""
        phonemes = self.teacher.voice.g2p(spell_out(words))
        ids = self.teacher.ids(phonemes)
        if len(ids) != len(phonemes) + 2 or len(ids) > 420:
            return None
        done = self.teacher.perform(ids, manner, seed)
        units = units_of(phonemes, done.durations, words)
        if units is None:
            return None
        borders = np.round(np.cumsum([0, *units[1]]) * 600 / MEL_HOP_LENGTH).astype(np.int64)
        # Sentences begin and end where frames of mel and of the teacher lie on each other.
        heard = int(np.argmax(np.abs(done.audio) * LEVEL > AUDIBLE)) // MEL_HOP_LENGTH
        skip = max(0, min(int(borders[1]) - LEAST_START, heard - 1)) // GROUP_HOPS * GROUP_HOPS
        end = min(int(borders[-1]), int(borders[-2]) + LONGEST_END)
        borders[-1] = end = skip + -(-(end - skip) // GROUP_HOPS) * GROUP_HOPS
        borders = np.clip(borders, skip, end) - skip
        frames = int(borders[-1])
        first = skip * MEL_HOP_LENGTH  # frame t is centred at sample first + t * hop
        padded = np.concatenate(
            [np.zeros(MEL_HOP_LENGTH * 3, np.float32), done.audio * LEVEL, np.zeros(2_400, np.float32)]
        )
        begin = first + 3 * MEL_HOP_LENGTH - 480
        piece = torch.from_numpy(padded[begin : begin + (frames + 3) * MEL_HOP_LENGTH].copy())[None]
        mel = self.mel(piece, self.mel.initial_state(1))[0][0, 3:]
        f0 = pitch_at(done.f0_hz, first + (np.arange(frames) + 1) * MEL_HOP_LENGTH)
        arrays: dict[str, NDArray[np.generic]] = {
            "units": np.asarray(units[0], np.int16),
            "spans": np.diff(borders).astype(np.int16),
            "f0": f0.astype(np.float16),
            "mel": mel.numpy().astype(np.float16),
        }
        if self.keep_sound:  # one hop later, as the vocoder counts: see speaker.LEAD_HOPS
            start = first + 4 * MEL_HOP_LENGTH
            sound = padded[start : start + frames * MEL_HOP_LENGTH]
            arrays["pcm"] = np.round(np.clip(sound, -1, 1) * 32_767).astype(np.int16)
            centres = first + np.arange(frames) * MEL_HOP_LENGTH
            arrays["filters"] = (filters_at(done, centres, BINS) + np.log(LEVEL)).astype(np.float16)
            rest = rests_at(done, np.arange(first, first + frames * MEL_HOP_LENGTH, REST_HOP))
            rest[:, : rest.shape[1] // 2] += np.log(LEVEL)
            arrays["rest"] = rest.astype(np.float16)
        return units[2], arrays


def make_corpus(
    folder: Path, maker: VoiceMaker, text: TrainingText, hours: float, seed: int = 0
) -> Iterator[float]:
    """Speak drawn sentences until there are ``hours``; yields the hours so far after every shard.

    An interrupted run goes on after its last whole shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number, frames = 0, 0
    while frames < hours * 360_000:
        table = folder / f"{number:04d}.jsonl"
        if not table.exists():
            rng = random.Random(f"{seed} {number}")
            made: list[tuple[Record, dict[str, NDArray[np.generic]]]] = []
            while len(made) < SHARD_SENTENCES:
                made += maker.make(text.draw(rng), rng)
            names = made[0][1]
            joined = {name: np.concatenate([arrays[name] for _, arrays in made]) for name in names}
            save_file(joined, table.with_suffix(".safetensors"))
            table.write_text("".join(json.dumps(asdict(record)) + "\n" for record, _ in made))
        frames += sum(json.loads(line)["frames"] for line in table.read_text().splitlines())
        number += 1
        yield frames / 360_000
