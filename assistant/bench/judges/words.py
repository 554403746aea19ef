"""Are the words right: what two recognisers hear, and word error with numbers made equal."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from assistant.errors import DependencyError
from assistant.model.speaking.normalize import ReaderState, read

Audio = NDArray[np.float32]
LISTEN_RATE = 16_000  # Hz
SAME = {
    "alright": "all right",
    "ok": "okay",
    "cannot": "can not",
    "anymore": "any more",
    "grey": "gray",
    "colour": "color",
    "favourite": "favorite",
    "neighbour": "neighbor",
    "centre": "center",
    "theatre": "theater",
    "metre": "meter",
    "metres": "meters",
    "litre": "liter",
    "litres": "liters",
    "realise": "realize",
    "organise": "organize",
    "recognise": "recognize",
    "cosy": "cozy",
    "mum": "mom",
    "til": "till",
    "miz": "ms",
    "missus": "mrs",
    "cheque": "check",
    "aeroplane": "airplane",
    "colours": "colors",
    "flavour": "flavor",
    "honour": "honor",
    "neighbours": "neighbors",
    "kilometre": "kilometer",
    "kilometres": "kilometers",
    "centimetre": "centimeter",
    "centimetres": "centimeters",
    "tyre": "tire",
    "plough": "plow",
    "storey": "story",
    "travelling": "traveling",
}


def comparable(text: str) -> list[str]:
    """Write a text as plain spoken words: numbers in words, one spelling, no marks."""
    text = re.sub(r"(?<!\d)-|-(?!\d)", " ", unicodedata.normalize("NFC", text))
    text = re.sub(r"\b(\d{1,2})[.:]?([0-5]\d) ?([ap])\.?m\b\.?", r"\1:\2 \3m", text, flags=re.IGNORECASE)
    words, _ = read(ReaderState(), text, last=True)
    spelled = [SAME.get(word.text.lower(), word.text.lower()) for word in words]
    flat = " ".join(spelled).replace("'", "")
    flat = re.sub(r"\b(hundred|thousand|million) and\b", r"\1", flat)
    flat = re.sub(r"\bone (?=hundred|thousand|million)", "a ", flat)
    flat = re.sub(r"\b([a-z]) (?=[a-z]\b)", r"\1", flat)  # "u s a" and "usa" are the same
    return flat.split()


@dataclass(frozen=True, slots=True)
class WordError:
    """Edits against a reference; adds up."""

    edits: int
    words: int

    def __add__(self, other: "WordError") -> "WordError":
        return WordError(self.edits + other.edits, self.words + other.words)

    @property
    def percent(self) -> float:
        """Edits per hundred words of the reference."""
        return 100 * self.edits / max(1, self.words)


def word_error(reference: str, heard: str) -> WordError:
    """Count substitutions, insertions and deletions; joining or splitting a word at a space is no error."""
    want, got = comparable(reference), comparable(heard)
    return WordError(min(edits(want, got), edits(want, resplit(got, want))), len(want))


def resplit(words: list[str], like: list[str]) -> list[str]:
    """Join or split neighbouring words where that gives words of ``like``."""
    known, out = set(like), []
    index = 0
    while index < len(words):
        pair = "".join(words[index : index + 2])
        cut = next(
            (i for i in range(1, len(words[index])) if {words[index][:i], words[index][i:]} <= known), 0
        )
        if index + 1 < len(words) and pair in known and not set(words[index : index + 2]) <= known:
            out.append(pair)
            index += 1
        elif cut and words[index] not in known:
            out += [words[index][:cut], words[index][cut:]]
        else:
            out.append(words[index])
        index += 1
    return out


def edits(want: list[str], got: list[str]) -> int:
    """Levenshtein distance over words."""
    row = list(range(len(got) + 1))
    for i, word in enumerate(want, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(got, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


class Recognizer(Protocol):
    """Writes down what it hears."""

    name: str

    def hear(self, pcm: Audio) -> str:
        """Transcribe mono sound at 24 kHz."""
        ...


class Whisper:
    """Whisper base, int8, greedy, English."""

    name = "whisper base"

    def __init__(self, model: str = "whisper-base", threads: int = 1) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise DependencyError(f"{error.name} is missing: install vivavoce[judges]") from error
        from assistant.weights import store

        folder = str(store.path(model))
        self.model: Any = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=threads)

    def hear(self, pcm: Audio) -> str:
        """Transcribe mono sound at 24 kHz."""
        audio = soxr.resample(pcm, 24_000, LISTEN_RATE)
        found, _ = self.model.transcribe(
            audio,
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text for segment in found).strip()


class PocketSphinx:
    """CMU's recogniser with its own English model."""

    name = "pocketsphinx"

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise DependencyError(f"{error.name} is missing: install vivavoce[judges]") from error
        self.decoder: Any = Decoder(samprate=LISTEN_RATE, loglevel="FATAL")

    def hear(self, pcm: Audio) -> str:
        """Transcribe mono sound at 24 kHz."""
        audio = soxr.resample(pcm, 24_000, LISTEN_RATE)
        self.decoder.start_utt()
        self.decoder.process_raw((np.clip(audio, -1, 1) * 32_767).astype(np.int16).tobytes(), full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return str(found.hypstr) if found else ""
