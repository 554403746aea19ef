"""What hearing is measured on: held-out voices, real people, and sound without words.

The real people's recordings come from Debian packages (``asterisk-core-sounds-en``,
``asterisk-core-sounds-en-g722``, ``pocketsphinx-testdata``); without them their rows are left out. None is
ever trained on.
"""

import gzip
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from assistant.errors import WeightsError
from assistant.training.augment import Wear
from assistant.training.hearing_recipes import rooms
from assistant.training.speech_data import CorpusAudio, Utterance, read_corpus
from assistant.training.speech_makers import BEGUN_CORPORA, speech_folder
from assistant.training.texts import WORD, for_choices

Audio = NDArray[np.float32]
SAMPLE_RATE = 24_000
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPT_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
READINGS = Path("/usr/share/pocketsphinx/test/data/librivox")
LEAST_WORDS = 3
SHORTEST_S = 1.2
NO_CHOICES = "no sentences for choices: run `vivavoce train speech-data kokoro --choices`"
CHOOSING = ("kokoro-choices", "kokoro-wide-choices", "hibari", "hibari-wide")  # corpora


@dataclass(frozen=True, slots=True)
class Clip:
    """One thing to hear."""

    audio: Audio  # mono at 24 kHz
    text: str  # what is said; empty where nothing is
    record: Utterance | None = None  # what is known of it from its making


def held_out(count: int) -> list[Clip]:
    """Sentences put aside, by voices put aside.

    Raises:
        WeightsError: they have not been made yet.
    """
    shares = {"kokoro": 4, "piper": 1}  # as many voices as each has
    clips = []
    for maker, share in shares.items():
        folder = speech_folder(f"{maker}-held-out")
        records = [one for one in read_corpus(folder) if one.kind != "scrambled"]
        audio = CorpusAudio(folder)
        wanted = -(-count * share // sum(shares.values()))
        clips += [
            Clip(np.asarray(audio(one) / 32_768, np.float32), one.text, one) for one in records[:wanted]
        ]
        if not clips:
            raise WeightsError(
                "no held-out speech: run `vivavoce train speech-data kokoro --held-out --hours 0.3`, "
                "then the same with piper and 0.08 hours"
            )
    return clips[:count]


def asked_of(count: int, choices: bool) -> list[Clip]:
    """Sentences by voices that nothing learns: those put aside, or those on which settings are chosen.

    Raises:
        WeightsError: they have not been made yet.
    """
    if not choices:
        return held_out(count)
    if clips := for_choosing(count).get(CHOOSING[0]):
        return clips
    raise WeightsError(NO_CHOICES)


def trained_on(maker: str, count: int) -> list[Clip]:
    """Utterances of a training corpus, clean, evenly from all of it; none where it was not made."""
    folder = speech_folder(maker)
    records = [one for one in read_corpus(folder) if one.kind != "scrambled"]
    audio = CorpusAudio(folder)
    chosen = records[:: max(1, len(records) // count)][:count]
    return [Clip(np.asarray(audio(one) / 32_768, np.float32), one.text, one) for one in chosen]


def for_choosing(count: int) -> dict[str, list[Clip]]:
    """Sentences that are never learned, so many by each maker's voices: settings may be chosen on these.
    Kokoro's voices are not learned either, hibari's are.

    Raises:
        WeightsError: they have not been made yet.
    """
    clips: dict[str, list[Clip]] = {}
    for maker in CHOOSING:
        folder = speech_folder(maker)
        records = [one for one in read_corpus(folder)[::-1] if for_choices(one.source)]
        audio = CorpusAudio(folder)
        found = [Clip(np.asarray(audio(one) / 32_768, np.float32), one.text, one) for one in records[:count]]
        if found:
            clips[maker] = found
    if not clips:
        raise WeightsError(NO_CHOICES)
    return clips


def begun_for_choosing(count: int) -> list[Clip]:
    """Beginnings of sentences that are never learned, said as before a thinking pause; none where none were
    made.
    """
    clips: list[Clip] = []
    for maker in BEGUN_CORPORA:
        folder = speech_folder(maker)
        audio = CorpusAudio(folder)
        records = [one for one in read_corpus(folder)[::-1] if for_choices(one.source)]
        clips += [Clip(np.asarray(audio(one) / 32_768, np.float32), one.text, one) for one in records[:count]]
    return clips


def noisy(clips: list[Clip], ratio_db: float, seed: int = 7) -> list[Clip]:
    """The same with noise at a ratio to the voice's own level."""
    wear, rng = Wear(rooms(), [], seed), np.random.default_rng(seed)
    out = []
    for clip in clips:
        level = float(np.sqrt(np.mean(clip.audio**2)))
        noise = wear.noise(len(clip.audio), rng) * level * 10 ** (-ratio_db / 20)
        out.append(Clip(clip.audio + noise, clip.text, clip.record))
    return out


def prompts(count: int) -> list[Clip]:
    """A real woman's telephone prompts, sentences of three words or more."""
    if not PROMPTS.is_dir() or not PROMPT_TEXTS.is_file():
        return []
    texts = {}
    for line in gzip.decompress(PROMPT_TEXTS.read_bytes()).decode().splitlines():
        name, _, text = line.partition(": ")
        if not line.startswith(";") and "[" not in text and "(" not in text:
            texts[name.strip()] = text.strip()
    names = [name for name, text in texts.items() if len(WORD.findall(text)) >= LEAST_WORDS]
    chosen = [name for name in sorted(names) if (PROMPTS / f"{name}.g722").is_file()]
    step = max(1, len(chosen) // count)
    clips = [Clip(decode_g722(PROMPTS / f"{name}.g722"), texts[name]) for name in chosen[::step][:count]]
    return [clip for clip in clips if len(clip.audio) > SHORTEST_S * SAMPLE_RATE]


def decode_g722(path: Path) -> Audio:
    """Decode a bare G.722 file with ffmpeg."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "g722",
        "-i",
        str(path),
        "-f",
        "f32le",
        "-ar",
        str(SAMPLE_RATE),
        "-",
    ]
    made = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(made.stdout, np.float32).copy()


def readings() -> list[Clip]:
    """A real reader of a novel."""
    path = READINGS / "transcription"
    if not path.is_file():
        return []
    clips = []
    for line in path.read_text().splitlines():
        match = re.match(r"(?:<s> )?(.*?)(?: </s>)? \((.+)\)$", line.strip())
        sound = READINGS / f"{match.group(2)}.wav" if match else path
        if match and sound.is_file():
            audio, rate = soundfile.read(sound, dtype="float32")
            clips.append(
                Clip(np.asarray(soxr.resample(audio, rate, SAMPLE_RATE), np.float32), match.group(1))
            )
    return clips


def wordless(count: int, seconds: float = 4.0, seed: int = 3) -> list[Clip]:
    """Silence, noise and music."""
    wear, rng = Wear(rooms(), [], seed), np.random.default_rng(seed)
    return [Clip(wear.nothing(round(seconds * SAMPLE_RATE), rng), "") for _ in range(count)]
