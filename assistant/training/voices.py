"""Voices that make training speech: Kokoro and mixtures of its voices, hibari bent into other speakers, old
engines.

All give mono float32 at 24 kHz together with the end of every word, because the makers know their own
durations.
"""

import io
import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from assistant.errors import DependencyError, WeightsError
from assistant.training.accents import said_differently

Audio = NDArray[np.float32]
SAMPLE_RATE = 24_000
DURATION_UNIT = 600  # samples of one unit of duration in Kokoro and hibari: 25 ms
HELD_OUT = frozenset({"bf_lily", "am_onyx", "af_nova", "bm_daniel"})  # tests only, never trained on
CHOICES = frozenset({"af_river", "am_puck", "bm_fable"})  # never trained on: settings are chosen with them
STYLE_ROWS, STYLE_WIDTH = 510, 256
DURATIONS = "/encoder/Round_output_0"  # of Kokoro's graph


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance with what is known of it from its making."""

    audio: Audio  # (samples,)
    voice: str
    word_ends: tuple[int, ...]  # samples; empty where the maker does not know
    rate: float  # 1 is the voice's own pace
    pitch_hz: float  # mean over voiced frames; 0 where the maker does not know
    whispered: bool = False


class Maker(Protocol):
    """Turns a punctuated sentence into speech by a voice that it draws itself."""

    def speak(self, text: str, rng: np.random.Generator) -> Spoken | None:
        """Give the utterance, or nothing where the text cannot be spoken."""
        ...


def open_graph(model: Path, add: str = "", only: Sequence[str] = ()) -> Any:
    """Open an ONNX graph with one of its inner tensors as a further, last output, or only so far as some of
    its tensors need.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise DependencyError(f"{error.name} is missing: install vivavoce[train]") from error
    if not model.exists():
        raise WeightsError(f"{model} is missing: run `vivavoce models fetch kokoro`")
    whole = onnx.load(str(model))
    graph = whole.graph
    if only:
        needed = nodes_behind(graph.node, only)
        del graph.output[:], graph.node[:]
        graph.node.extend(needed)
    known = {output.name for output in graph.output}
    for name in (*only, *([add] if add else [])):
        if name not in known:
            graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        whole.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def nodes_behind(nodes: Iterable[Any], outputs: Iterable[str]) -> list[Any]:
    """Those of an ONNX graph's nodes that some tensors are made by, in their order."""
    nodes, wanted, kept = list(nodes), set(outputs), []
    for node in reversed(nodes):  # a graph lists what makes a tensor before what uses it
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def word_ends(phonemes: str, durations: Audio) -> tuple[int, ...]:
    """Sample at which each word of a phoneme string ends; ``durations`` count the pads at both ends."""
    ends, voiced = [], False
    position = float(durations[0])
    for phoneme, length in zip(phonemes, durations[1:-1], strict=True):
        if phoneme == " ":
            if voiced:
                ends.append(round(position * DURATION_UNIT))
            voiced = False
        elif phoneme.isalpha():
            voiced = True
        position += float(length)
    if voiced:
        ends.append(round(position * DURATION_UNIT))
    return tuple(ends)


class Phonemes:
    """Words to phonemes, American and British, by hibari's front end."""

    def __init__(self) -> None:
        try:
            from hibari.g2p import G2P
        except ImportError as error:
            raise DependencyError("hibari-tts is missing: install vivavoce[train]") from error
        self.american, self.british = G2P(), G2P(british=True)

    def __call__(self, text: str, british: bool, vocabulary: dict[str, int]) -> str:
        """Give the phonemes of one sentence that a model knows."""
        spoken = str((self.british if british else self.american)(text) or "")
        return "".join(phoneme for phoneme in spoken if phoneme in vocabulary)

    def sides(self) -> tuple[Callable[[str], str | None], Callable[[str], str | None]]:
        """American and British, each from words to phonemes with their marks."""
        return self.american, self.british

    def knows(self, word: str) -> bool:
        """Tell whether a word, or the name that is written so, is in the American lexicon."""
        lexicon = self.american.lexicon
        return any(
            form in found for form in (word, word.capitalize()) for found in (lexicon.golds, lexicon.silvers)
        )


def feed(tokens: list[int], style: Audio, rate: float) -> dict[str, NDArray[Any]]:
    """Kokoro's inputs."""
    return {
        "tokens": np.asarray([[0, *tokens, 0]], np.int64),
        "style": style[None],
        "speed": np.asarray([rate], np.float32),
    }


class Kokoro:
    """Kokoro-82M with its voices, mixtures of two of them and mild extrapolations."""

    def __init__(
        self, model: Path, voices: Path, phonemes: Phonemes, names: frozenset[str] | None = None
    ) -> None:
        """``model`` and ``voices`` are the folders of the net and of the speakers. ``names`` restricts the
        voices (each spoken pure); by default all but those put aside are mixed.
        """
        self.session = self._open(model / "kokoro.onnx")
        self.vocabulary: dict[str, int] = json.loads((model / "vocab.json").read_text())["vocab"]
        found = {path.stem: path for path in sorted(voices.glob("*.bin"))}
        aside = HELD_OUT | CHOICES
        chosen = [name for name in found if (name in names if names is not None else name not in aside)]
        self.styles = {
            name: np.fromfile(found[name], np.float32).reshape(STYLE_ROWS, STYLE_WIDTH) for name in chosen
        }
        self.pure, self.phonemes = names is not None, phonemes

    def speak(self, text: str, rng: np.random.Generator) -> Spoken | None:
        """Say a sentence by a voice drawn at random."""
        voice, style = self._draw(rng)
        phonemes = self._said(self.phonemes(text, voice.startswith("b"), self.vocabulary), rng)
        if not 2 <= len(phonemes) < STYLE_ROWS - 2:
            return None
        tokens = [self.vocabulary[phoneme] for phoneme in phonemes]
        rate = 1.0 if self.pure else float(np.clip(rng.normal(1.0, 0.17), 0.65, 1.5))
        audio, durations = self.sound(tokens, style[len(tokens) - 1], rate)
        return Spoken(audio, voice, word_ends(phonemes, durations), rate, 0.0)

    def sound(self, tokens: list[int], style: Audio, rate: float) -> tuple[Audio, Audio]:
        """Sound (samples,) of phonemes, and their durations with those of the pads at both ends."""
        audio, durations = self.session.run(None, feed(tokens, style, rate))
        return np.asarray(audio, np.float32).ravel(), np.asarray(durations).ravel()

    def _said(self, phonemes: str, _rng: np.random.Generator) -> str:
        return phonemes

    def _open(self, model: Path) -> Any:
        return open_graph(model, add=DURATIONS)

    def _draw(self, rng: np.random.Generator) -> tuple[str, Audio]:
        names = list(self.styles)
        english = [name for name in names if name[0] in "ab"] or names
        first = str(rng.choice(english if rng.random() < 0.75 else names))
        if self.pure or rng.random() < 0.3:
            return first, self.styles[first]
        second = str(rng.choice(names))
        share = float(rng.uniform(0.3, 0.7)) if rng.random() < 0.75 else 1.3
        mixed = share * self.styles[first] + (1 - share) * self.styles[second]
        return f"{first}*{share:.2f}+{second}", mixed.astype(np.float32)


class Hibari:
    """hibari's one voice, its pitch, formants, tilt and breath bent and given habits of speech, so that it is
    another speaker each time.
    """

    BINS = 601

    def __init__(self, phonemes: Phonemes) -> None:
        from hibari import dsp
        from hibari.tts import ASSETS

        self.dsp = dsp
        self.session = open_graph(Path(ASSETS) / "hibari.onnx", add="/Round_output_0")
        self.vocabulary: dict[str, int] = json.loads((Path(ASSETS) / "vocab.json").read_text())
        self.phonemes = phonemes

    def speak(self, text: str, rng: np.random.Generator) -> Spoken | None:
        """Say a sentence by a speaker drawn at random; one in twelve whispers."""
        phonemes = self.phonemes(text, rng.random() < 0.35, self.vocabulary)
        if len(phonemes) < 2:
            return None
        phonemes = said_differently(phonemes, self.vocabulary, rng)
        rate = float(np.clip(rng.normal(1.0, 0.2), 0.6, 1.6))
        ids = np.asarray([[0, *(self.vocabulary[phoneme] for phoneme in phonemes), 0]], np.int64)
        outputs = self.session.run(None, {"ids": ids, "speed": np.asarray([rate], np.float32)})
        harmonic, theta, noise, free, phase, pitch = (output[0] for output in outputs[:6])
        whispered = bool(rng.random() < 1 / 12)
        size = float(rng.uniform(0.8, 1.25))  # formants up for small speakers
        level = float(np.clip(size ** rng.uniform(0.8, 3.0) * rng.normal(0.85, 0.2), 0.38, 1.9))
        voiced = pitch > 40
        mean = float(np.exp(np.log(pitch[voiced]).mean())) if voiced.any() else 200.0
        bent = np.where(voiced, mean * level * (np.maximum(pitch, 1) / mean) ** rng.uniform(0.4, 1.9), 0.0)
        colour = self._colour(rng)
        harmonic, noise, free = (self._warp(part, size) + colour for part in (harmonic, noise, free))
        theta, phase = self._warp(theta, size), self._warp(phase, size)
        noise = noise + rng.uniform(-0.5, 0.9)
        if whispered:
            noise = np.logaddexp(noise, harmonic - 2.0 + np.linspace(-2.0, 0.3, self.BINS)[:, None])
            bent, free = np.zeros_like(bent), free - 3.0
        audio = self.dsp.synth(
            harmonic.astype(np.float32),
            theta,
            noise.astype(np.float32),
            free.astype(np.float32),
            phase,
            bent.astype(np.float32),
            rng,
        )
        ends = word_ends(phonemes, np.asarray(outputs[-1]).ravel())
        name = f"hibari size {size:.2f} pitch {level:.2f}"
        return Spoken(
            np.asarray(audio, np.float32), name, ends, rate, 0.0 if whispered else mean * level, whispered
        )

    def _warp(self, part: Audio, size: float) -> Audio:
        position = np.minimum(np.arange(self.BINS) / size, self.BINS - 1.001)
        low = position.astype(np.int64)
        share = (position - low).astype(np.float32)[:, None]
        return part[low] * (1 - share) + part[low + 1] * share

    def _colour(self, rng: np.random.Generator) -> Audio:
        axis = np.linspace(0, np.pi, self.BINS, dtype=np.float32)
        curve = sum(rng.normal(0, 0.35) * np.cos(order * axis + rng.uniform(0, 6)) for order in range(1, 7))
        return np.asarray(curve + rng.normal(0, 0.5) * (axis / np.pi - 0.3), np.float32)[:, None]


Call = tuple[str, float, list[str]]  # voice, rate, command line


class OldEngines:
    """espeak-ng, flite and festival: formant, diphone and statistical speech, a small part of the data, for
    robustness.
    """

    ESPEAK = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan")
    FLITE = ("slt", "rms", "awb", "kal16")
    FESTIVAL = ("ked_diphone", "cmu_us_slt_arctic_hts")

    def speak(self, text: str, rng: np.random.Generator) -> Spoken | None:
        """Say a sentence by an engine and a variant drawn at random.

        Raises:
            DependencyError: one of the engines is not installed.
        """
        engine = (self._espeak, self._flite, self._festival)[int(rng.choice(3, p=(0.4, 0.4, 0.2)))]
        voice, rate, command = engine(text, rng)
        try:
            made = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        except FileNotFoundError:
            raise DependencyError(
                f"{command[0]} is missing: install espeak-ng, flite, festival, festvox-kdlpc16k and"
                " festvox-us-slt-hts"
            ) from None
        if made.returncode or len(made.stdout) < 100:
            return None
        audio, sample_rate = soundfile.read(io.BytesIO(repaired_wav(made.stdout)), dtype="float32")
        return Spoken(soxr.resample(audio, sample_rate, SAMPLE_RATE), voice, (), rate, 0.0)

    def _espeak(self, text: str, rng: np.random.Generator) -> Call:
        voice = f"{rng.choice(self.ESPEAK)}+{'mf'[int(rng.integers(2))]}{int(rng.integers(1, 5))}"
        rate, pitch = float(rng.uniform(0.75, 1.35)), int(rng.integers(20, 80))
        how = ["-v", voice, "-s", str(round(165 * rate)), "-p", str(pitch)]
        return voice, rate, ["espeak-ng", *how, "--stdout", text]

    def _flite(self, text: str, rng: np.random.Generator) -> Call:
        voice, rate = str(rng.choice(self.FLITE)), float(rng.uniform(0.8, 1.3))
        how = ["-voice", voice, "--setf", f"duration_stretch={1 / rate:.3f}"]
        return voice, rate, ["flite", *how, "-t", text, "-o", "/dev/stdout"]

    def _festival(self, _text: str, rng: np.random.Generator) -> Call:
        voice = str(rng.choice(self.FESTIVAL))
        rate = 1.0 if voice.endswith("hts") else float(rng.uniform(0.8, 1.3))  # the other cannot be stretched
        how = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {1 / rate:.3f})"]
        return voice, rate, ["text2wave", "-eval", how[0], "-eval", how[1], "-o", "-"]


def repaired_wav(data: bytes) -> bytes:
    """Correct the sizes in a WAV that was written to a pipe."""
    size = len(data)
    start = data.find(b"data") + 8
    riff = data[:4] + (size - 8).to_bytes(4, "little") + data[8 : start - 4]
    return riff + (size - start).to_bytes(4, "little") + data[start:]


def whispered(pcm: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """Make a voiced utterance whisper: noise shaped by its smooth spectra, with less bass.

    Source: the source-filter view of Fant 1960; the envelope is the cepstrum's first 1.3 ms.
    """
    size, hop, quefrencies = 1_024, 256, 32
    window = np.hanning(size + 1)[:-1]
    audio = np.pad(pcm.astype(np.float64) / 32_768, (size, size))
    noise = rng.standard_normal(len(audio))
    tilt = np.linspace(-1.2, 0.3, size // 2 + 1)
    out, weight = np.zeros(len(audio)), np.zeros(len(audio))
    for start in range(0, len(audio) - size, hop):
        span = slice(start, start + size)
        cepstrum = np.fft.irfft(np.log(np.abs(np.fft.rfft(audio[span] * window)) + 1e-5))
        cepstrum[quefrencies : size - quefrencies + 1] = 0
        envelope = np.exp(np.fft.rfft(cepstrum).real + tilt)
        shaped = np.fft.irfft(np.fft.rfft(noise[span] * window) * envelope)
        out[span] += shaped * window
        weight[span] += window**2
    made = (out / np.maximum(weight, 1e-3))[size:-size]
    return np.asarray(made / (np.abs(made).max() + 1e-9) * 0.5 * 32_767, np.int16)
