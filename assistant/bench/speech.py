"""How the assistant speaks, measured by listeners that share no weights with it, beside its teacher."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assistant.bench.judges.quality import DistillMOS, Listener, SpeechMOS
from assistant.bench.judges.words import PocketSphinx, Recognizer, Whisper, WordError, word_error
from assistant.errors import DependencyError
from assistant.model.speaking.recital import Reciter
from assistant.model.speaking.speaker import Manner

Audio = NDArray[np.float32]
SAMPLE_RATE = 24_000
WORST = 10


@dataclass(frozen=True, slots=True)
class Spoken:
    """One sentence as a system spoke it."""

    audio: Audio
    first_s: float  # until the first sound was there
    taken_s: float


class Voice(Protocol):
    """Something that speaks."""

    name: str

    def say(self, text: str) -> Spoken:
        """Speak a sentence."""
        ...


class Viva:
    """The assistant's own voice; its times include the transformer's reading of the text."""

    name = "viva"

    def __init__(self, reciter: Reciter, manner: Manner) -> None:
        self.reciter, self.manner = reciter, manner

    def say(self, text: str) -> Spoken:
        """Speak a sentence."""
        begun, first, sound = time.perf_counter(), 0.0, [np.zeros(0, np.float32)]
        for piece in self.reciter.recite(text, self.manner):
            first = first or (time.perf_counter() - begun if len(piece.pcm) else 0.0)
            sound.append(piece.pcm.clamp(-1, 1).numpy())
        return Spoken(np.concatenate(sound), first, time.perf_counter() - begun)


class Hibari:
    """The teacher, reading the same text in its own way, at the same loudness."""

    name = "hibari (teacher)"
    level = 1.8  # see training.vocoder_data.LEVEL

    def __init__(self, threads: int = 1) -> None:
        try:
            from hibari import Hibari as Voice
        except ImportError as error:
            raise DependencyError(f"{error.name} is missing: install vivavoce[train]") from error
        self.voice: Any = Voice(threads=threads)

    def say(self, text: str) -> Spoken:
        """Speak a sentence."""
        begun, first, parts = time.perf_counter(), 0.0, [np.zeros(0, np.float32)]
        for part in self.voice.stream(text, seed=0):
            first = first or time.perf_counter() - begun
            parts.append(np.clip(part * self.level, -1, 1))
        return Spoken(np.concatenate(parts), first, time.perf_counter() - begun)


class Joe:
    """Piper's American voice "joe", which people use on small machines."""

    name = "piper joe"

    def __init__(self, folder: Path, threads: int) -> None:
        from assistant.training.piper import Piper

        self.voice = Piper(folder, threads)

    def say(self, text: str) -> Spoken:
        """Speak a sentence; it comes whole."""
        begun = time.perf_counter()
        audio = self.voice.say(text)
        taken_s = time.perf_counter() - begun
        return Spoken(audio, taken_s, taken_s)


@dataclass(frozen=True, slots=True)
class Judges:
    """Everybody who listens."""

    recognizers: Sequence[Recognizer]
    listeners: Sequence[Listener]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judges made of one sentence by one voice."""

    text: str
    audio_s: float
    first_s: float
    taken_s: float
    heard: dict[str, str]
    errors: dict[str, WordError]
    scores: dict[str, float]


def all_judges(threads: int = 1) -> Judges:
    """Load every judge."""
    return Judges(
        (Whisper(threads=threads), PocketSphinx()), (DistillMOS(), SpeechMOS("DNSMOS"), SpeechMOS("PLCMOS"))
    )


def judge(voice: Voice, texts: Sequence[str], judges: Judges, keep: Path | None = None) -> Iterator[Verdict]:
    """Let a voice speak sentences and the judges listen, one verdict after the other.

    ``keep`` is a folder for the sounds.
    """
    for index, text in enumerate(texts, start=1):
        spoken = voice.say(text)
        if keep is not None:
            import soundfile

            keep.mkdir(parents=True, exist_ok=True)
            soundfile.write(keep / f"{index:04d}.wav", spoken.audio, SAMPLE_RATE, subtype="PCM_16")
        heard = {ear.name: ear.hear(spoken.audio) for ear in judges.recognizers}
        yield Verdict(
            text=text,
            audio_s=len(spoken.audio) / SAMPLE_RATE,
            first_s=spoken.first_s,
            taken_s=spoken.taken_s,
            heard=heard,
            errors={name: word_error(text, what) for name, what in heard.items()},
            scores={listener.name: listener.score(spoken.audio) for listener in judges.listeners},
        )


def summary(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The figures of one voice."""
    figures: dict[str, float] = {}
    for name in verdicts[0].errors:
        total = sum((verdict.errors[name] for verdict in verdicts), WordError(0, 0))
        figures[f"WER {name} %"] = total.percent
    for name in verdicts[0].scores:
        scores = np.asarray([verdict.scores[name] for verdict in verdicts])
        figures |= {f"{name} median": float(np.median(scores)), f"{name} mean": float(scores.mean())}
        figures[f"{name} lowest"] = float(scores.min())
    audio = sum(verdict.audio_s for verdict in verdicts)
    figures["RTF"] = sum(verdict.taken_s for verdict in verdicts) / max(audio, 1e-9)
    figures["first sound ms, median"] = 1e3 * float(np.median([verdict.first_s for verdict in verdicts]))
    return figures


def worst(verdicts: Sequence[Verdict], key: Callable[[Verdict], float]) -> list[Verdict]:
    """The sentences with the lowest value."""
    return sorted(verdicts, key=key)[:WORST]


def misheard(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The sentences in which a recogniser got the most words wrong."""
    return [
        v
        for v in sorted(verdicts, key=lambda v: -v.errors["whisper base"].edits)[:WORST]
        if v.errors["whisper base"].edits
    ]
