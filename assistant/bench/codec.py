"""The codec's table: what survives a round trip, beside Codec2 and Opus at low rates, on held-out voices."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from assistant.bench.hearing import Row
from assistant.bench.hearing_sets import SAMPLE_RATE, Audio, held_out
from assistant.bench.judges.quality import DistillMOS
from assistant.bench.judges.words import Whisper, WordError, word_error
from assistant.errors import DependencyError
from assistant.model.listening import load_codec
from audiocodec.interface import whole_blocks
from audiocodec.viva import VivaCodec

VOICED_SURE = 0.9  # swift-f0's confidence from which a frame counts as voiced
CODEC2_RATE = 8_000


def round_trip(codec: "VivaCodec[Any]", audio: Audio) -> Audio:
    """Encode and decode by the project's codec, its delay taken out."""
    pcm = whole_blocks(torch.from_numpy(np.pad(audio, (0, SAMPLE_RATE // 4)))[None], codec.spec)
    codes, _ = codec.encode(pcm, codec.initial_encoding(1))
    back, _ = codec.decode(codes[..., codec.spec.delay_frames :], codec.initial_decoding(1))
    delay = codec.vocoder.delay_frames * 240
    return back[0, delay : delay + len(audio)].numpy()


def through(command: list[str], data: bytes) -> bytes:
    """Run a program over its standard input."""
    try:
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise DependencyError(f"{command[0]} is missing: install the packages codec2 and ffmpeg") from error


def codec2(audio: Audio) -> Audio:
    """Codec2 at 3,200 bit/s."""
    narrow = np.asarray(soxr.resample(audio, SAMPLE_RATE, CODEC2_RATE) * 32_767, np.int16)
    with tempfile.TemporaryDirectory() as folder:
        raw, bits, out = (str(Path(folder) / name) for name in ("in.raw", "bits", "out.raw"))
        narrow.tofile(raw)
        through(["c2enc", "3200", raw, bits], b"")
        through(["c2dec", "3200", bits, out], b"")
        back = np.fromfile(out, np.int16).astype(np.float32) / 32_768
    return fitted(np.asarray(soxr.resample(back, CODEC2_RATE, SAMPLE_RATE), np.float32), len(audio))


def opus(audio: Audio) -> Audio:
    """Opus at 6 kbit/s for speech."""
    raw = ["-f", "f32le", "-ar", str(SAMPLE_RATE), "-ac", "1"]
    encode = [
        "ffmpeg",
        "-v",
        "error",
        *raw,
        "-i",
        "-",
        "-c:a",
        "libopus",
        "-b:a",
        "6k",
        "-application",
        "voip",
    ]
    packed = through([*encode, "-f", "ogg", "-"], np.asarray(audio, np.float32).tobytes())
    back = through(["ffmpeg", "-v", "error", "-f", "ogg", "-i", "-", *raw, "-"], packed)
    return fitted(np.frombuffer(back, np.float32).copy(), len(audio))


def fitted(audio: Audio, length: int) -> Audio:
    """Cut or lengthen by silence."""
    return np.pad(audio, (0, max(0, length - len(audio))))[:length]


class Measures:
    """The judges of one table; each is loaded once."""

    def __init__(self) -> None:
        try:
            from pystoi import stoi
            from resemblyzer import VoiceEncoder
            from swift_f0 import SwiftF0
        except ImportError as error:
            raise DependencyError(f"{error.name} is missing: install vivavoce[judges]") from error
        self.stoi: Any = stoi
        self.speaker: Any = VoiceEncoder("cpu", verbose=False)
        self.pitch: Any = SwiftF0()
        self.whisper, self.quality = Whisper(), DistillMOS()

    def __call__(self, text: str, audio: Audio, back: Audio) -> tuple[WordError, dict[str, float]]:
        """Word error, and STOI, pitch correlation, speaker similarity and DistillMOS of one round trip."""
        wide = [np.asarray(soxr.resample(one, SAMPLE_RATE, 16_000), np.float32) for one in (audio, back)]
        voices = [self.speaker.embed_utterance(one) for one in wide]
        figures = {
            "stoi": float(self.stoi(wide[0], wide[1], 16_000)),
            "pitch correlation": self.pitch_correlation(wide[0], wide[1]),
            "speaker": float(np.dot(voices[0], voices[1])),
            "distillmos": self.quality.score(back),
        }
        return word_error(text, self.whisper.hear(back)), figures

    def pitch_correlation(self, first: Audio, second: Audio) -> float:
        """Correlation of log pitch where both are surely voiced."""
        found = [self.pitch.detect(one, 16_000) for one in (first, second)]
        count = min(len(one.pitch_hz) for one in found)
        sure = np.logical_and(*(np.asarray(one.confidence[:count]) > VOICED_SURE for one in found))
        if sure.sum() < 10:
            return float("nan")
        logs = [np.log(np.asarray(one.pitch_hz[:count])[sure]) for one in found]
        return float(np.corrcoef(logs[0], logs[1])[0, 1])


def codec_rows(weights: Path | None, count: int) -> Iterator[Row]:
    """One row for each codec, and one for the original."""
    codec, measures = load_codec(weights), Measures()
    ways = {
        "original": lambda audio: audio,
        f"viva, {codec.spec.bitrate:.0f} bit/s": lambda audio: round_trip(codec, audio),
        "Codec2, 3200 bit/s": codec2,
        "Opus, 6000 bit/s": opus,
    }
    clips = held_out(count)
    for name, way in ways.items():
        words, sums = WordError(0, 0), dict[str, list[float]]()
        for clip in clips:
            edits, figures = measures(clip.text, clip.audio, np.asarray(way(clip.audio), np.float32))
            words += edits
            for key, value in figures.items():
                sums.setdefault(key, []).append(value)
        figures = {"word error": words.percent} | {key: float(np.nanmean(all_)) for key, all_ in sums.items()}
        yield Row(f"codec: {name}", figures, len(clips))
