"""Who stops the assistant? Agreement and keys must not, the words of somebody who wants the floor must."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from assistant.model.hearing import Hearing
from assistant.session.clock import FRAME_BYTES, to_ms
from assistant.session.listening import Ear, Room, Signal
from assistant.session.turn import TurnPolicy, TurnTaker
from assistant.session.vad import WebRtcVoice, samples
from assistant.training.augment import keyboard
from assistant.training.bursts import AGREE, FLOOR, PHRASES
from audiocodec.numbers import SAMPLE_RATE

Audio = NDArray[np.float32]
AGREEING = ("Uh huh.", "Yeah.", "Okay.", "Right.", "I see.", "Sure.", "Mm hmm.")
STOPPING = ("Stop.", "Wait.", "No.", "Hold on.", "What?", "Stop it, please.", "Excuse me.")
KEYBOARDS = 8
BEFORE_S, AFTER_S = 1.0, 2.5  # quiet around each sound
LEVEL, ROOM_LEVEL = 0.3, 1e-4  # peak of a voice; noise of a room
AUDIBLE = 0.02  # part of the peak from which a sound is there


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sound led to; milliseconds since it began."""

    said: str
    agreement: float | None  # how likely it only agrees, where that was asked
    held_ms: int | None  # the loudspeaker was held
    stopped_ms: int | None  # it was an interruption


def phrases(every: bool) -> list[tuple[str, str]]:
    """Kind and words of what is said: a few common phrases, or every one that training knows."""
    known: dict[str, list[str]] = json.loads(PHRASES.read_text(encoding="utf-8"))
    agree, stop = (known[AGREE], known[FLOOR]) if every else (AGREEING, STOPPING)
    return [("agree", text) for text in agree] + [("want the floor", text) for text in stop]


def bare(audio: Audio) -> Audio:
    """A sound at the usual level without the silence around it."""
    peak = float(np.abs(audio).max())
    there = np.flatnonzero(np.abs(audio) > AUDIBLE * peak)
    return np.asarray(audio[there[0] : there[-1] + 1] * (LEVEL / peak), np.float32)


def keyboards() -> Iterator[tuple[str, str, Audio]]:
    """Kind, name and sound of some typing."""
    rng = np.random.default_rng(9)
    for _ in range(KEYBOARDS):
        yield "type", "(keys)", bare(keyboard(SAMPLE_RATE, rng))


def outcome(said: str, audio: Audio, hearing: Hearing, patient: bool) -> Outcome:
    """Play a sound to the ear of a session while an answer is heard.

    ``patient``: the client can hold its loudspeaker.
    """
    ear = Ear(WebRtcVoice(), TurnTaker(TurnPolicy()), Room(lambda: True, lambda: b""))
    ear.barge_in.patient = patient
    agreement, held_ms = None, None
    for signal in _signals(ear, audio):
        since_ms = to_ms(ear.now) - round(1_000 * BEFORE_S)
        if signal is Signal.PAUSE and held_ms is None:
            held_ms = since_ms
        if signal is Signal.ASK:
            agreement = hearing.only_agrees(hearing.hear_alone(torch.from_numpy(samples(ear.burst()))))
            signal = ear.overheard(agreement) or signal
        if signal is Signal.INTERRUPT:
            return Outcome(said, agreement, held_ms, since_ms)
    return Outcome(said, agreement, held_ms, None)


def _signals(ear: Ear, audio: Audio) -> Iterator[Signal]:
    rng = np.random.default_rng(len(audio))
    before, after = (np.zeros(round(seconds * SAMPLE_RATE), np.float32) for seconds in (BEFORE_S, AFTER_S))
    sound = np.concatenate([before, audio, after])
    sound += rng.normal(0, ROOM_LEVEL, len(sound)).astype(np.float32)
    pcm = (sound.clip(-1, 1) * 32_767).astype("<i2").tobytes()
    for at in range(0, len(pcm), FRAME_BYTES):
        ear.push(pcm[at : at + FRAME_BYTES])
        yield from ear.listen()
