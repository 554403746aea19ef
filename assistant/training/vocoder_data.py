"""Speech for the vocoder: sound with the true pitch of every hop, by one voice and by others bent out of it.

A folder of shards: ``NNNN.safetensors`` holds ``pcm`` (int16, 24 kHz, utterances one after the other, each a
whole number of hops) and ``f0`` (float16 Hz per hop, that of the hop's first sample, 0 where unvoiced).
"""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from assistant.training.teacher import MANNERS, Manner, Teacher, blend, pitch_at
from audiocodec.numbers import MEL_HOP_LENGTH, SAMPLE_RATE

LEVEL = 1.8  # the teacher speaks softly; factor on its sound everywhere in training
OTHER_VOICES = 0.3  # part of the utterances that is bent into other speakers
SHARD_UTTERANCES = 200
Floats = NDArray[np.float32]


def draw_manner(rng: random.Random) -> Manner:
    """Draw a manner around one of the styles."""
    name = rng.choices(list(MANNERS), weights=(5, 2, 2, 1, 2))[0]
    manner = blend(MANNERS[name], rng.uniform(0.3, 1.2))
    return Manner(
        pitch=manner.pitch * 2 ** rng.uniform(-0.2, 0.2),
        spread=manner.spread,
        rate=manner.rate * 2 ** rng.uniform(-0.4, 0.4),
        gain_db=manner.gain_db + rng.uniform(-8, 4),
        whispered=manner.whispered,
    )


def speak(
    teacher: Teacher, phonemes: str, rng: random.Random
) -> tuple[NDArray[np.int16], NDArray[np.float16]]:
    """Make one utterance: PCM, and pitch per hop."""
    manner = draw_manner(rng)
    bend = 2 ** rng.uniform(-0.75, 0.35) if rng.random() < OTHER_VOICES else 1.0
    manner = Manner(manner.pitch, manner.spread, manner.rate / bend, manner.gain_db, manner.whispered)
    made = teacher.perform(teacher.ids(phonemes), manner, rng.randrange(2**31))
    audio: Floats = made.audio * LEVEL
    if bend != 1:
        audio = soxr.resample(audio, SAMPLE_RATE, SAMPLE_RATE / bend).astype(np.float32)
    hops = len(audio) // MEL_HOP_LENGTH
    f0 = pitch_at(made.f0_hz, (np.arange(hops) * MEL_HOP_LENGTH * bend).astype(np.int64)) * bend
    pcm = np.clip(np.round(audio[: hops * MEL_HOP_LENGTH] * 32_767), -32_768, 32_767)
    return pcm.astype(np.int16), f0.astype(np.float16)


def make_corpus(folder: Path, texts: list[str], hours: float, seed: int = 0) -> Iterator[float]:
    """Speak texts in random order until there are ``hours``; yields the hours so far after every shard."""
    folder.mkdir(parents=True, exist_ok=True)
    teacher, number, made_s = Teacher(), 0, 0.0
    while made_s < hours * 3_600:
        path = folder / f"{number:04d}.safetensors"
        if path.exists():
            made_s += len(load_file(path)["f0"]) * MEL_HOP_LENGTH / SAMPLE_RATE
        else:
            rng = random.Random(f"{seed} {number}")
            spoken: list[tuple[NDArray[np.int16], NDArray[np.float16]]] = []
            while len(spoken) < SHARD_UTTERANCES:
                for phonemes in teacher.phonemes(rng.choice(texts)):
                    if len(phonemes) > 2:
                        spoken.append(speak(teacher, phonemes, rng))
            shard = {
                "pcm": np.concatenate([pcm for pcm, _ in spoken]),
                "f0": np.concatenate([f0 for _, f0 in spoken]),
            }
            save_file(shard, path)
            made_s += len(shard["f0"]) * MEL_HOP_LENGTH / SAMPLE_RATE
        number += 1
        yield made_s / 3_600
