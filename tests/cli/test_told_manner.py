"""The bench's count of how somebody sounded, as an answer tells it."""

import numpy as np

from assistant.bench.turns import Judged, told_right
from assistant.training.features import Prepared


def clip(number: int, finished: bool = True, **traits: str) -> Judged:
    sound = np.full(10, number, np.float32)
    return Judged(Prepared(sound, 0, 10, finished, traits), traits.get("pitch"))


def test_only_extremes_count_and_only_what_is_said_of_them() -> None:
    judged = [
        clip(0, rate="slow", loudness="quiet", voicing="voiced", intent="question"),
        clip(1, rate="fast", loudness="usual", pitch="low", voicing="voiced", intent="statement"),
        clip(2, rate="usual", loudness="quiet", voicing="whispered"),
        clip(3, finished=False, rate="slow", voicing="voiced"),
    ]
    answers = [
        "You spoke softly and fast in a low voice. It was a question.",
        "You spoke slowly, a slow statement.",
        "You whispered. It was loud and soft.",
        "never asked",
    ]
    told = told_right(judged, lambda audio: answers[int(audio[0])])
    assert told == {"rate": (0, 2), "loudness": (1, 2), "pitch": (0, 1), "voicing": (3, 3), "intent": (2, 2)}
