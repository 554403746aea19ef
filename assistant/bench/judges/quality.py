"""Does it sound good: predictors of what listeners would say, 1 bad to 5 excellent."""

from typing import Any, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from assistant.errors import DependencyError

Audio = NDArray[np.float32]
LISTEN_RATE = 16_000  # Hz
SHORTEST = LISTEN_RATE // 2  # samples; shorter sound is repeated


class Listener(Protocol):
    """Scores sound."""

    name: str

    def score(self, pcm: Audio) -> float:
        """Score mono sound at 24 kHz."""
        ...


def listened(pcm: Audio) -> Audio:
    """Bring sound to the judges' rate, within [-1, 1]."""
    audio = np.asarray(soxr.resample(pcm, 24_000, LISTEN_RATE), np.float32)
    if 0 < len(audio) < SHORTEST:
        audio = np.tile(audio, SHORTEST // len(audio) + 1)
    peak = float(np.abs(audio).max(initial=0.0))
    return audio / peak if peak > 1 else audio


class DistillMOS:
    """Overall quality, a small model distilled from XLS-R (Stahl and Gamper 2025)."""

    name = "DistillMOS"

    def __init__(self) -> None:
        try:
            import distillmos
        except (ImportError, OSError) as error:
            raise DependencyError(f"distillmos does not load ({error}): install vivavoce[judges]") from error
        import contextlib
        import io

        with contextlib.redirect_stdout(io.StringIO()):
            self.model: Any = distillmos.ConvTransformerSQAModel().eval()

    def score(self, pcm: Audio) -> float:
        """Score mono sound at 24 kHz."""
        import torch

        with torch.inference_mode():
            return float(self.model(torch.from_numpy(listened(pcm))[None]))


class SpeechMOS:
    """Microsoft's DNSMOS (overall) or PLCMOS (gaps and seams)."""

    def __init__(self, name: str) -> None:
        try:
            from speechmos import dnsmos, plcmos
        except ImportError as error:
            raise DependencyError(f"{error.name} is missing: install vivavoce[judges]") from error
        self.name = name
        self.run: Any = {"DNSMOS": dnsmos.run, "PLCMOS": plcmos.run}[name]
        self.key = {"DNSMOS": "ovrl_mos", "PLCMOS": "plcmos"}[name]

    def score(self, pcm: Audio) -> float:
        """Score mono sound at 24 kHz."""
        return float(self.run(listened(pcm), sr=LISTEN_RATE)[self.key])
