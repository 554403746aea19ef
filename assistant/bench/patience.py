"""Fast and patient: does it wait through thinking pauses, and does it answer what is finished?"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.bench.streaming import speak
from audiocodec.numbers import SAMPLE_RATE

Audio = NDArray[np.float32]
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.4, 1.5
ROOM_LEVEL = 1e-4  # of the noise in a pause: no room is digitally silent
ANSWER_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech and the samples at which its words end."""

    audio: Audio
    word_ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PatienceReport:
    """What was measured."""

    pauses: int
    taken: int  # pauses in which it took the floor
    finished: int
    answered: int  # finished ones that it answered within ANSWER_WITHIN_S


def with_pause(utterance: Utterance, rng: random.Random) -> Audio:
    """Put one thinking pause between two words, never after the last."""
    inner = utterance.word_ends[:-1]
    at = inner[rng.randrange(len(inner) // 3, max(len(inner) // 3 + 1, len(inner)))]
    length = int(rng.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S) * SAMPLE_RATE)
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, ROOM_LEVEL, length).astype(np.float32)
    return np.concatenate([utterance.audio[:at], noise, utterance.audio[at:]])


async def measure(
    url: str, clips: Sequence[Utterance], tell: Callable[[int], None], seed: int = 1
) -> PatienceReport:
    """Speak each clip with one pause: an answer before its end took the floor, one soon after it is right."""
    rng = random.Random(seed)
    taken = answered = 0
    for number, clip in enumerate(clips, start=1):
        heard = await speak(url, with_pause(clip, rng), patience_s=ANSWER_WITHIN_S + 2)
        early = heard.interrupted_at_s is not None
        taken += early
        in_time = heard.first_sound_s is not None and heard.first_sound_s <= ANSWER_WITHIN_S
        answered += in_time and not early
        tell(number)
    return PatienceReport(len(clips), taken, len(clips) - taken, answered)
