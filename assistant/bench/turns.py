"""Traits and ends of turns: what is right from the sound alone, beside Smart-Turn on the same clips."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
import torch

from assistant.bench.hearing_sets import SAMPLE_RATE, Audio, Clip
from assistant.errors import DependencyError
from assistant.model.chat import ChatFormat
from assistant.model.decoder import Decoder
from assistant.model.hearing import BEHIND_WORDS, Hearing
from assistant.model.transcribe import Transcriber, between_markers
from assistant.model.turn_head import TurnHead
from assistant.training.augment import TESTED_NOISE, Wear
from assistant.training.features import Prepared, pitch_trait, prepare
from assistant.training.hearing_recipes import rooms

SILENCE_S = 0.2  # after which an end is judged
TRAIT_NAMES = ("rate", "loudness", "pitch", "voicing", "intent")
EXTREMES = {
    "slow or fast": ("rate", "slow", "fast"),
    "quiet or loud": ("loudness", "quiet", "loud"),
    "low or high": ("pitch", "low", "high"),
}


TOLD = {  # what an answer to "How did I sound?" says of kinds that a listener would not mix up
    "rate": {"slow": r"\bslow", "fast": r"\b(fast|quick)"},
    "loudness": {"quiet": r"\b(soft|quiet|whisper)", "loud": r"\bloud"},  # who whispers is not loud
    "pitch": {"low": r"\blow\b", "high": r"\bhigh\b"},
    "voicing": {"whispered": r"\bwhisper", "voiced": r"\bspoke\b"},
    "intent": {"statement": r"\bstatement", "question": r"\bquestion"},
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One worn clip with its truth."""

    made: Prepared
    pitch: str | None


def worn(hearing: Hearing, clips: list[Clip], seed: int = 5) -> list[Judged]:
    """Held-out clips worn, cut off and whispered as in training, with their truth from the making."""
    wear = Wear(rooms(), [], seed, strength=0.5, noisiness=TESTED_NOISE)
    rng = np.random.default_rng(seed)
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


def truth_of(one: Judged) -> dict[str, str]:
    """How a clip sounds."""
    truth = dict(one.made.traits)
    if one.pitch is not None and truth["voicing"] == "voiced":
        truth["pitch"] = one.pitch
    return truth


def told_right(judged: list[Judged], ask: Callable[[Audio], str]) -> dict[str, tuple[int, int]]:
    """Of whole utterances of one of two extremes, how many of how many an answer to how they sounded puts
    right: it says so, and does not say the contrary as well.
    """
    counts = {name: [0, 0] for name in TOLD}
    for one in judged:
        truth = truth_of(one)
        if not one.made.finished or not any(truth.get(name) in kinds for name, kinds in TOLD.items()):
            continue
        told = ask(one.made.sound).lower()
        for name, kinds in TOLD.items():
            if truth.get(name) in kinds:
                said = {kind for kind, words in kinds.items() if re.search(words, told)}
                counts[name][0] += said == {truth[name]}
                counts[name][1] += 1
    return {name: (hit, total) for name, (hit, total) in counts.items()}


def traits_right(hearing: Hearing, judged: list[Judged]) -> dict[str, tuple[int, int]]:
    """For each trait how many of how many whole utterances were named right; and the same where only the two
    extremes are told apart, without the kind between them.
    """
    counts = {name: [0, 0] for name in (*TRAIT_NAMES, *EXTREMES)}
    for one in judged:
        if not one.made.finished:
            continue
        _, state = hearing.step(hearing.initial_state(), torch.from_numpy(one.made.sound))
        _, state = hearing.flush(state)
        impression = hearing.impression(state)
        truth = truth_of(one)
        for name, kind in truth.items():
            counts[name][0] += impression.kinds[name][0] == kind
            counts[name][1] += 1
        for title, (name, *ends) in EXTREMES.items():
            if truth.get(name) in ends:
                shares = impression.shares[name]
                counts[title][0] += max(ends, key=lambda end: shares[end]) == truth[name]
                counts[title][1] += 1
    return {name: (hit, all_) for name, (hit, all_) in counts.items()}


def ends_right(transcriber: Transcriber, head: TurnHead, judged: list[Judged]) -> tuple[int, int, int]:
    """How many ends were judged right at ``SILENCE_S`` of silence, by sound and words; by the sound alone; of
    how many.
    """
    hits = by_sound = 0
    for one in judged:
        heard = one.made.sound[: one.made.end + round(SILENCE_S * SAMPLE_RATE)]
        hearing = transcriber.hearing
        block, state = hearing.step(hearing.initial_state(), torch.from_numpy(heard))
        last, _ = hearing.flush(state)
        embeddings = torch.cat([block.embeddings, last.embeddings])
        finished = last.finished
        if len(embeddings):
            stream = last_word_stream(transcriber.decoder, transcriber.chat, embeddings)
            finished = head.judge(float(head.read(stream).detach()), finished)
        hits += (finished > 0.5) == one.made.finished
        by_sound += (last.finished > 0.5) == one.made.finished
    return hits, by_sound, len(judged)


@torch.inference_mode()
def last_word_stream(decoder: Decoder, chat: ChatFormat, embeddings: torch.Tensor) -> torch.Tensor:
    """The transformer's stream (D,) after its last layer, at the last word of a whole sound's embeddings."""
    opening = decoder.embed(torch.tensor(chat.open("user")))
    inputs = torch.cat([opening, between_markers(decoder, embeddings)])
    hidden = decoder.prefill(decoder.new_cache(), inputs, decoder.config.layers).hidden
    assert hidden is not None
    return hidden[-1 - BEHIND_WORDS]


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
