"""Training speech: made once by packaged voices, kept outside the repository, read by the training commands.

A corpus is a folder of shards: ``NNNN.safetensors`` holds ``pcm`` (int16, mono, 24 kHz, utterances one after
the other) and ``NNNN.jsonl`` one record an utterance: where it lies, its text, and how it was said.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from assistant.training.texts import BEGUN, Line, for_choices, punctuated, scrambled
from assistant.training.voices import CHOICES, SAMPLE_RATE, Maker, Spoken

SHARD_UTTERANCES = 100
PEAK = 0.7
SILENT_LEVEL = 250  # of 32,768: 42 dB below full scale
MARGIN_SAMPLES = 960

Draw = Callable[[random.Random], Line]


@dataclass(frozen=True, slots=True)
class Utterance:
    """Where an utterance lies in its shard, and what is known of it."""

    shard: int
    offset: int  # samples
    length: int  # samples
    text: str  # with its marks, as it was given to the voice
    kind: str  # "ask", "answer", "cutoff", "wide", "scrambled", "begun"
    source: str
    turn: int
    voice: str
    rate: float
    pitch_hz: float
    whispered: bool
    word_ends: tuple[int, ...]  # samples from the utterance's beginning
    pauses: tuple[str, ...] = ()


def never_learned(source: str, voice: str) -> bool:
    """Tell whether settings are chosen on what comes from this dialogue or is said by this voice."""
    return for_choices(source) or any(name in voice for name in CHOICES)


def level(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Scale an utterance to the corpus's common peak."""
    peak = float(np.abs(audio).max()) or 1.0
    return np.asarray(np.round(audio * (PEAK / peak * 32_767)), np.int16)


def trimmed(pcm: NDArray[np.int16]) -> tuple[NDArray[np.int16], int]:
    """Cut the silence before and after a voice, but for 40 ms; also give how many samples were
    cut before it.
    """
    loud = np.flatnonzero(np.abs(pcm) > SILENT_LEVEL)
    if not len(loud):
        return pcm, 0
    start = max(0, int(loud[0]) - MARGIN_SAMPLES)
    return pcm[start : int(loud[-1]) + MARGIN_SAMPLES], start


def shard_paths(folder: Path) -> list[Path]:
    """The finished shards of a corpus, in order."""
    return [path for path in sorted(folder.glob("*.safetensors")) if path.with_suffix(".jsonl").exists()]


def write_shard(folder: Path, number: int, spoken: list[tuple[Line, str, Spoken]]) -> float:
    """Write one shard and give its seconds of speech."""
    pieces = [level(utterance.audio) for _, _, utterance in spoken]
    offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
    records = [
        Utterance(number, int(offset), len(piece), text, line.kind, line.source, line.turn, made.voice,
                  round(made.rate, 3), round(made.pitch_hz, 1), made.whispered, made.word_ends, line.pauses)
        for (line, text, made), piece, offset in zip(spoken, pieces, offsets[:-1], strict=True)
    ]  # fmt: skip
    save_file({"pcm": np.concatenate(pieces)}, folder / f"{number:04d}.safetensors")
    text = "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
    (folder / f"{number:04d}.jsonl").write_text(text)
    return float(offsets[-1]) / SAMPLE_RATE


def plain(lines: list[Line]) -> Draw:
    """Draw from lines alike; one sentence in ten is scrambled."""
    texts = [line.text for line in lines]

    def draw(rng: random.Random) -> Line:
        line = rng.choice(lines)
        return Line(scrambled(texts, rng), "scrambled", "") if rng.random() < 0.1 else line

    return draw


def make_corpus(folder: Path, maker: Maker, draw: Draw, hours: float, seed: int = 0) -> Iterator[float]:
    """Speak lines as they are drawn until a corpus holds ``hours``; yields its hours after every shard.

    An interrupted run goes on after its last whole shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = len(shard_paths(folder))
    made_s = sum(record.length for record in read_corpus(folder)) / SAMPLE_RATE
    while made_s < hours * 3_600:
        words, voices = random.Random(f"{seed} {number}"), np.random.default_rng((seed, number))
        spoken: list[tuple[Line, str, Spoken]] = []
        while len(spoken) < SHARD_UTTERANCES:
            line = draw(words)
            text = line.text if line.kind == BEGUN else punctuated(line.text)
            utterance = maker.speak(text, voices)
            if utterance is not None and 0.25 < len(utterance.audio) / SAMPLE_RATE < 14:
                spoken.append((line, text, utterance))
        made_s += write_shard(folder, number, spoken)
        number += 1
        yield made_s / 3_600


def read_corpus(folder: Path) -> list[Utterance]:
    """Read the records of all finished shards."""
    records = []
    for path in shard_paths(folder):
        for line in path.with_suffix(".jsonl").read_text().splitlines():
            fields = json.loads(line)
            for name in ("word_ends", "pauses"):
                fields[name] = tuple(fields[name])
            records.append(Utterance(**fields))
    return records


class CorpusAudio:
    """Reads utterances of one corpus; shards stay mapped, not loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open: dict[int, Any] = {}
        self.opener: Any = safe_open  # its stubs lack types

    def __call__(self, record: Utterance) -> NDArray[np.int16]:
        """Give an utterance's samples, int16 at 24 kHz."""
        if record.shard not in self.open:
            path = self.folder / f"{record.shard:04d}.safetensors"
            self.open[record.shard] = self.opener(path, framework="np").get_slice("pcm")
        part = self.open[record.shard]
        # no stubs for slices
        return np.asarray(part[record.offset : record.offset + record.length])
