"""Piper's American voice "joe": heard in tests and measured beside ours, never trained on.

The net runs on onnxruntime; phonemes come from the program espeak-ng. Source of the input's layout: the
project rhasspy/piper, ids of begin, phonemes and end with a pad after each.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from assistant.errors import DependencyError
from assistant.training.voices import SAMPLE_RATE, Audio, Spoken

BEGIN, PAD, END = "^", "_", "$"
SCALES = (0.667, 1.0, 0.8)  # noise, length, noise of durations: the voice's own defaults


class Piper:
    """Speaks sentences; makes ``Spoken`` with nothing known of the words' places."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """``folder`` holds joe.onnx and joe.onnx.json."""
        try:
            import onnxruntime
        except ImportError as error:
            raise DependencyError(f"{error.name} is missing: install vivavoce[train]") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self._session: Any = onnxruntime.InferenceSession(
            str(folder / "joe.onnx"), options, providers=["CPUExecutionProvider"]
        )
        described = json.loads((folder / "joe.onnx.json").read_text())
        self._ids: dict[str, list[int]] = described["phoneme_id_map"]
        self._rate: int = described["audio"]["sample_rate"]

    def say(self, text: str) -> Audio:
        """Speak a sentence: (samples,) at 24 kHz."""
        ids = [*self._ids[BEGIN], *self._ids[PAD]]
        for phoneme in phonemes(text):
            if phoneme in self._ids:
                ids += [*self._ids[phoneme], *self._ids[PAD]]
        ids += self._ids[END]
        feed = {
            "input": np.asarray([ids], np.int64),
            "input_lengths": np.asarray([len(ids)], np.int64),
            "scales": np.asarray(SCALES, np.float32),
        }
        audio = np.asarray(self._session.run(None, feed)[0], np.float32).ravel()
        return np.asarray(soxr.resample(audio, self._rate, SAMPLE_RATE), np.float32)

    def speak(self, text: str, rng: np.random.Generator) -> Spoken | None:
        """See ``Maker.speak``."""
        return Spoken(self.say(text), "piper joe", (), 1.0, 0.0)


def phonemes(text: str) -> str:
    """IPA of a sentence with its last mark, clauses joined by commas."""
    command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", "--", text]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise DependencyError("espeak-ng is missing: install the system package espeak-ng") from None
    mark = text.rstrip()[-1:]
    return ", ".join(made.stdout.strip().split("\n")) + (mark if mark in ".?!" else ".")
