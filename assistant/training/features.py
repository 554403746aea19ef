"""What the encoder hears of the training speech, kept, so that everything behind it trains without it.

A set is a folder of shards like the speech itself: ``semantic``, ``prosody`` and ``acoustic`` frames (see
``RawFrames``; float16), one utterance after the other, and a record for each.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from assistant.training.augment import Audio, Wear
from assistant.training.precision import mixed
from assistant.training.speech_data import CorpusAudio, Utterance, read_corpus, shard_paths, trimmed
from assistant.training.texts import BEGUN, put_aside, syllables
from assistant.training.voices import whispered
from audiocodec.listener import Listener, RawFrames
from audiocodec.numbers import CODEC_HOP_LENGTH
from audiocodec.prosody import STEPS_PER_FRAME

SAMPLE_RATE = 24_000
SHARD = 256  # utterances
KEPT = ("semantic", "prosody", "acoustic")  # of what the encoder gives
QUIET_LEVEL, LOUD_LEVEL = -1.75, -1.2  # log10 of the root mean square of the voice
SLOW_RATE, FAST_RATE = 2.75, 3.9  # syllables a second, pauses included
LEAST_SYLLABLES = 4  # of which a rate can be told
LOW_HZ, HIGH_HZ = 135.0, 205.0
SILENCE_AFTER_S = (0.5, 1.2)
HEARD_STRIDE = 2  # blocks; half the work, and some frames see one block more than they will live
CUT_PART = 0.35  # of the utterances that are cut off after a word
CUT_S, FADE_S = (-0.01, 0.05), (0.002, 0.05)  # where, from the word's end; how long what is cut fades out
TAIL_PART = 0.6  # of all others, that lose the end of their last sound as well: so it tells nothing
TAIL_DB = (-42.0, -26.0)  # of full scale, where that ends
CLOSED_PART, CLOSED_S = 0.5, (0.1, 0.45)  # after so much silence the ear is told that no more comes
ALIKE_LONG, LEAST_SHARE = 250, 0.1  # utterances of like length on each side; no weight is above 5
TURN_PART = 4  # of the sentences, one in so many is heard by the turn head and not by the manner net


@dataclass(frozen=True, slots=True)
class HeardUtterance:
    """One utterance of a set: where its frames lie and what is true of it."""

    offset: int  # frames
    frames: int
    speech_start: int  # frame
    speech_end: int  # first frame after the voice
    finished: bool  # False where it was cut off after a word
    text: str
    kind: str
    source: str
    turn: int
    voice: str
    traits: dict[str, str]  # see assistant.model.manner.TRAITS


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """All frames of a set."""

    semantic: Tensor  # (N, D) float16
    prosody: Tensor  # (N, PROSODY_WIDTH)
    acoustic: Tensor  # (N, acoustic width) float16
    records: tuple[HeardUtterance, ...]
    codes: Tensor | None = None  # (N, K) int32 of those that went through the codebooks

    def rows(self, record: HeardUtterance) -> slice:
        """Where an utterance's frames lie."""
        return slice(record.offset, record.offset + record.frames)

    def for_manner(self) -> "FeatureSet":
        """The sentences that the manner net learns from."""
        return replace(self, records=tuple(one for one in self.records if taught_manner(one.text)))


def taught_manner(text: str) -> bool:
    """Tell whether the manner net learns from a sentence; the others show the turn head how far it may be
    trusted, because about what it knows by heart it is never in doubt.
    """
    return not put_aside(text, TURN_PART)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An utterance as it will be heard, with its truth."""

    sound: Audio
    start: int  # samples
    end: int
    finished: bool
    traits: dict[str, str]


def prepare(record: Utterance, pcm: NDArray[np.int16], wear: Wear, rng: np.random.Generator) -> Prepared:
    """Cut some utterances off, make a few whisper, wear them, and say how they sound.

    Only beginnings and those cut off have not finished. All of them may end abruptly, as no speaker does.
    """
    whisper = record.whispered
    if not whisper and rng.random() < 0.08:
        pcm, whisper = whispered(pcm, rng), True
    finished = record.kind != BEGUN
    pcm, before = trimmed(pcm)
    word_ends = tuple(end - before for end in record.word_ends)
    ends = word_ends[1:-1] if len(word_ends) > 2 else ()
    if record.pauses:
        counts = [len(pause.split()) for pause in record.pauses]
        ends = tuple(word_ends[n - 1] for n in counts if 0 < n < len(word_ends))
    if finished and ends and rng.random() < (0.6 if record.pauses else CUT_PART):
        stop = int(ends[int(rng.integers(len(ends)))] + rng.uniform(*CUT_S) * SAMPLE_RATE)
        pcm, finished = faded_out(pcm, stop, rng), False
    elif rng.random() < TAIL_PART:
        loud = np.flatnonzero(np.abs(pcm) > 32_768 * 10 ** (rng.uniform(*TAIL_DB) / 20))
        pcm = faded_out(pcm, int(loud[-1]) + 1 if len(loud) else len(pcm), rng)
    worn = wear(pcm, rng, SILENCE_AFTER_S)
    voice = worn.heard[worn.start : worn.end]
    level = float(np.log10(np.sqrt(np.mean(voice**2)) + 1e-6))
    traits = {
        "loudness": "quiet" if level < QUIET_LEVEL else "loud" if level > LOUD_LEVEL else "usual",
        "voicing": "whispered" if whisper else "voiced",
    }
    if finished and (rate := pace(record.text, (worn.end - worn.start) / SAMPLE_RATE)):
        traits["rate"] = rate
    if finished:
        traits["intent"] = "question" if record.text.rstrip().endswith("?") else "statement"
    return Prepared(worn.heard, worn.start, worn.end, finished, traits)


def faded_out(pcm: NDArray[np.int16], stop: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """What comes before a sample, its end faded out."""
    pcm = pcm[: max(1, stop)].copy()
    length = min(len(pcm), int(rng.uniform(*FADE_S) * SAMPLE_RATE))
    pcm[len(pcm) - length :] = (pcm[len(pcm) - length :] * np.linspace(1, 0, length) ** 2).astype(np.int16)
    return pcm


def closed(made: Prepared, rng: np.random.Generator) -> Audio:
    """The sound as it is heard in a conversation: in half of them it ends soon after the voice."""
    if rng.random() >= CLOSED_PART:
        return made.sound
    sound = made.sound.copy()
    sound[made.end + int(rng.uniform(*CLOSED_S) * SAMPLE_RATE) :] = 0
    return sound


def evenly(lengths: Tensor, finished: Tensor) -> Tensor:
    """Weights (N,) by which finished and unfinished utterances (1 or 0) of like length are drawn alike often.

    Beginnings are short and whole sentences are not, so that a net would find whatever is short unfinished.
    """
    order = lengths.argsort(stable=True)
    ones = torch.ones(1, 1, 2 * ALIKE_LONG + 1)
    counted = nn.functional.conv1d(
        torch.stack([finished[order], torch.ones(len(order))])[:, None].float(), ones, padding=ALIKE_LONG
    )
    share = (counted[0, 0] / counted[1, 0]).clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    weights = torch.empty(len(order))
    weights[order] = torch.where(finished[order] > 0, 0.5 / share, 0.5 / (1 - share))
    return weights


def pace(text: str, seconds: float) -> str | None:
    """Slow, usual or fast by syllables a second; nothing where there are few of them, or numbers."""
    count = syllables(text)
    if count < LEAST_SYLLABLES or any(char.isdigit() for char in text):
        return None
    rate = count / seconds
    return "slow" if rate < SLOW_RATE else "fast" if rate > FAST_RATE else "usual"


def pitch_trait(prosody: Tensor) -> str | None:
    """Low, middle or high by the median over voiced steps of a clean voice; nothing where too little is
    voiced.
    """
    octaves, voicing = prosody[:, :STEPS_PER_FRAME], prosody[:, STEPS_PER_FRAME : 2 * STEPS_PER_FRAME]
    voiced = octaves[(voicing > 0.6) & (octaves != 0)]
    if len(voiced) < 8:
        return None
    pitch_hz = 160.0 * 2.0 ** float(voiced.median())
    return "low" if pitch_hz < LOW_HZ else "high" if pitch_hz > HIGH_HZ else "middle"


@torch.inference_mode()
def hear_corpus(
    folder: Path, corpus: Path, listener: Listener, wear: Wear, keep: Callable[[Utterance], bool]
) -> Iterator[int]:
    """Hear a corpus's utterances into a set, a shard at a time; goes on where it was stopped. Yields the
    count so far.
    """
    folder.mkdir(parents=True, exist_ok=True)
    audio = CorpusAudio(corpus)
    records = [record for record in read_corpus(corpus) if keep(record)]
    done = len(shard_paths(folder))
    for number in range(done, -(-len(records) // SHARD)):
        rng = np.random.default_rng((11, number))
        heard: list[HeardUtterance] = []
        parts: list[RawFrames] = []
        offset = 0
        for record in records[number * SHARD : (number + 1) * SHARD]:
            made = prepare(record, audio(record), wear, rng)
            raw = hear_whole(listener, closed(made, rng))
            frames, traits = raw.semantic.shape[1], dict(made.traits)
            if made.traits["voicing"] == "voiced" and (pitch := pitch_trait(raw.prosody[0].float())):
                traits["pitch"] = pitch
            start, end = made.start // CODEC_HOP_LENGTH, -(-made.end // CODEC_HOP_LENGTH)
            heard.append(
                HeardUtterance(offset, frames, start, end, made.finished, record.text, record.kind,
                               record.source, record.turn, record.voice, traits)
            )  # fmt: skip
            parts.append(raw)
            offset += frames
        kept = {name: torch.cat([getattr(raw, name)[0] for raw in parts]).half() for name in KEPT}
        save_file(kept, folder / f"{number:04d}.safetensors")
        lines = "".join(json.dumps(asdict(record)) + "\n" for record in heard)
        (folder / f"{number:04d}.jsonl").write_text(lines)
        yield number * SHARD + len(heard)


def hear_whole(listener: Listener, sound: Audio) -> RawFrames:
    """Hear one sound in one pass."""
    with mixed("cpu"):
        return listener.hear_all(torch.from_numpy(sound)[None], HEARD_STRIDE)


def read_features(*folders: Path) -> FeatureSet:
    """Read sets as one."""
    parts: dict[str, list[Tensor]] = {name: [] for name in KEPT}
    records, base = [], 0
    for folder in folders:
        for path in shard_paths(folder):
            tensors = load_file(path)
            for name, found in parts.items():
                found.append(tensors[name])
            for line in path.with_suffix(".jsonl").read_text().splitlines():
                fields = json.loads(line)
                fields["offset"] += base
                records.append(HeardUtterance(**fields))
            base += len(tensors["semantic"])
    semantic, prosody, acoustic = (torch.cat(found) for found in parts.values())
    return FeatureSet(semantic, prosody.float(), acoustic, tuple(records))
