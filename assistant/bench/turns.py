"""Traits and ends of turns: what is right from the sound alone, beside Smart-Turn on the same clips."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
import torch

from assistant.bench.hearing_sets import SAMPLE_RATE, Audio, Clip
from assistant.errors import DependencyError
from assistant.model.hearing import Hearing
from assistant.training.augment import Wear
from assistant.training.features import Prepared, pitch_trait, prepare
from assistant.training.hearing_recipes import rooms

SILENCE_S = 0.2  # after which an end is judged
TRAIT_NAMES = ("rate", "loudness", "pitch", "voicing", "intent")


@dataclass(frozen=True, slots=True)
class Judged:
    """One worn clip with its truth."""

    made: Prepared
    pitch: str | None


def worn(hearing: Hearing, clips: list[Clip], seed: int = 5) -> list[Judged]:
    """Held-out clips worn, cut off and whispered as in training, with their truth from the making."""
    wear, rng = Wear(rooms(), [], seed, strength=0.5), np.random.default_rng(seed)
    out = []
    for clip in clips:
        if clip.record is not None:
            pcm = np.asarray(clip.audio * 32_767, np.int16)
            made = prepare(clip.record, pcm, wear, rng)
            out.append(Judged(made, clean_pitch(hearing, clip.audio)))
    return out


def clean_pitch(hearing: Hearing, audio: Audio) -> str | None:
    """Low, middle or high by the median pitch of the clean voice."""
    samples = torch.from_numpy(np.asarray(soxr.resample(audio, SAMPLE_RATE, 16_000), np.float32))
    prosody = hearing.listener.prosody
    whole = samples[: len(samples) // 1_280 * 1_280][None]
    return pitch_trait(prosody(whole, prosody.initial_state(1))[0][0])


def traits_right(hearing: Hearing, judged: list[Judged]) -> dict[str, tuple[int, int]]:
    """For each trait how many of how many whole utterances were named right."""
    counts = {name: [0, 0] for name in TRAIT_NAMES}
    for one in judged:
        if not one.made.finished:
            continue
        _, state = hearing.step(hearing.initial_state(), torch.from_numpy(one.made.sound))
        _, state = hearing.flush(state)
        kinds = hearing.impression(state).kinds
        truth = dict(one.made.traits)
        if one.pitch is not None and truth["voicing"] == "voiced":
            truth["pitch"] = one.pitch
        for name, kind in truth.items():
            counts[name][0] += kinds[name][0] == kind
            counts[name][1] += 1
    return {name: (hit, all_) for name, (hit, all_) in counts.items()}


def ends_right(hearing: Hearing, judged: list[Judged]) -> tuple[int, int]:
    """How many of how many ends were judged right at ``SILENCE_S`` of silence."""
    hits = 0
    for one in judged:
        heard = one.made.sound[: one.made.end + round(SILENCE_S * SAMPLE_RATE)]
        block, _ = hearing.step(hearing.initial_state(), torch.from_numpy(heard))
        hits += (block.finished > 0.5) == one.made.finished
    return hits, len(judged)


class SmartTurn:
    """Smart-Turn v3.2 (pipecat-ai), 8 s of Whisper features in, P(finished) out."""

    def __init__(self) -> None:
        try:
            import onnxruntime
            from transformers import WhisperFeatureExtractor
        except ImportError as error:
            raise DependencyError(f"{error.name} is missing: install vivavoce[judges]") from error
        from assistant.weights import store

        path = str(store.path("smart-turn", "smart-turn.onnx"))
        self.session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.features: Any = WhisperFeatureExtractor(chunk_length=8)

    def finished(self, audio: Audio) -> float:
        """P(finished) after mono sound at 24 kHz."""
        samples = np.asarray(soxr.resample(audio, SAMPLE_RATE, 16_000), np.float32)[-8 * 16_000 :]
        padded = np.pad(samples, (8 * 16_000 - len(samples), 0))
        found = self.features(padded, sampling_rate=16_000, return_tensors="np", do_normalize=True)
        inputs = {self.session.get_inputs()[0].name: found.input_features.astype(np.float32)}
        return float(np.ravel(self.session.run(None, inputs)[0])[0])

    def ends_right(self, judged: list[Judged]) -> tuple[int, int]:
        """How many of how many ends it judges right at ``SILENCE_S`` of silence."""
        hits = 0
        for one in judged:
            heard = one.made.sound[: one.made.end + round(SILENCE_S * SAMPLE_RATE)]
            hits += (self.finished(heard) > 0.5) == one.made.finished
        return hits, len(judged)
