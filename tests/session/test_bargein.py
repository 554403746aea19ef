"""Who interrupts and who does not."""

import numpy as np
import pytest

from assistant.session.bargein import BargeIn, Verdict
from assistant.session.echo import is_echo
from assistant.session.playback import Playback
from assistant.session.vad import SoundKind, describe, samples
from tests.fakes import tone

TALK = SoundKind(periodic=0.9, bright=-6.0)
HUM = SoundKind(periodic=0.95, bright=-30.0)
COUGH = SoundKind(periodic=0.2, bright=-3.0)
PAUSE, RESUME, INTERRUPT = Verdict.PAUSE, Verdict.RESUME, Verdict.INTERRUPT
ASK = Verdict.ASK


def play(frames: int, kind: SoundKind, silence: int = 20) -> list[tuple[int, Verdict]]:
    gate = BargeIn()
    found = []
    for number in range(1, frames + silence + 1):
        speech = number <= frames
        verdict = gate.frame(speech, kind if speech else None)
        if verdict is not None:
            found.append((number, verdict))
            if verdict is INTERRUPT:
                break
    return found


@pytest.mark.parametrize(
    ("frames", "kind", "expected"),
    [
        (20, TALK, [(5, PAUSE), (6, INTERRUPT)]),  # held at 100 ms, stopped at 120 ms
        (15, HUM, [(5, PAUSE), (25, RESUME)]),  # "mhm"
        (12, COUGH, [(5, PAUSE), (22, RESUME)]),
        (3, COUGH, []),  # a key
        (4, TALK, []),
        (40, HUM, [(5, PAUSE), (25, INTERRUPT)]),  # nobody hums for so long only to agree
    ],
    ids=["talk", "mhm", "cough", "key", "syllable", "long hum"],
)
def test_bursts(frames: int, kind: SoundKind, expected: list[tuple[int, Verdict]]) -> None:
    assert play(frames, kind) == expected


def hold(frames: int, silence: int, more: int = 0) -> list[tuple[int, Verdict]]:
    """Talk, silence, and perhaps talk again, to a client that can hold its loudspeaker."""
    gate = BargeIn(patient=True)
    signs = "x" * frames + "." * silence + "x" * more
    found = [(number, gate.frame(sign == "x", TALK)) for number, sign in enumerate(signs, start=1)]
    return [(number, verdict) for number, verdict in found if verdict is not None]


def test_a_short_word_is_asked_about_where_the_loudspeaker_can_be_held() -> None:
    assert hold(20, 30) == [(5, PAUSE), (30, ASK)]
    assert hold(20, 15, 10) == [(5, PAUSE), (30, ASK), (41, INTERRUPT)]  # goes on talking unasked
    assert hold(70, 0) == [(5, PAUSE), (70, INTERRUPT)]
    assert hold(60, 20) == [(5, PAUSE), (70, ASK)]  # "oh, I see", slowly
    assert hold(20, 90) == [(5, PAUSE), (30, ASK), (95, RESUME)]  # nobody answered
    assert hold(3, 20) == []  # a key


@pytest.mark.parametrize(("agreeing", "verdict"), [(True, RESUME), (False, INTERRUPT)])
def test_the_judgement_decides(agreeing: bool, verdict: Verdict) -> None:
    gate = BargeIn(patient=True)
    for number in range(34):
        gate.frame(number < 20, TALK)
    assert gate.answered(agreeing) is verdict
    assert gate.onset_ms == 34 * 20
    assert not gate.paused
    assert gate.answered(agreeing) is None  # it was decided


def test_kinds_of_sound() -> None:
    rng = np.random.default_rng(0)
    voice = describe(samples(tone(0.04)))
    noise = describe(rng.normal(0, 0.1, 960).astype(np.float32))
    hum = describe(np.sin(2 * np.pi * 120 * np.arange(960) / 24_000).astype(np.float32))
    assert voice.periodic > 0.8
    assert voice.bright > -14
    assert noise.periodic < 0.5
    assert hum.periodic > 0.8
    assert hum.bright < -20


def noise(seconds: float, seed: int) -> np.ndarray:
    """Noise of voice-like bandwidth."""
    raw = np.random.default_rng(seed).normal(0, 0.1, int(seconds * 24_000) + 24)
    return np.convolve(raw, np.ones(24) / 24, "valid").astype(np.float32)


def test_own_voice_is_an_echo_at_any_delay_and_loudness() -> None:
    said = noise(2.0, 1)
    heard = 0.2 * said[20_000:25_760] + 0.02 * noise(0.24, 2)[:5_760]
    assert is_echo(heard, said)


def test_a_person_is_no_echo() -> None:
    said, person = noise(2.0, 1), noise(0.24, 3)[:5_760]
    assert not is_echo(person, said)
    assert not is_echo(person * 2 + said[20_000:25_760], said)  # talking over it, louder


def test_playback_without_acknowledgements_runs_with_the_clock() -> None:
    playback = Playback()
    playback.send(bytes(2 * 24_000), now=1_000)
    assert playback.heard(1_000) == 0
    assert playback.heard(13_000) == 12_000
    playback.ended = True
    assert playback.audible(13_000)
    assert not playback.audible(25_000)


def test_playback_trusts_acknowledgements() -> None:
    playback = Playback()
    playback.send(bytes(2 * 48_000), now=0)
    playback.ack(4_800, now=9_600)
    assert playback.heard(9_600) == 4_800
    assert playback.heard(12_000) == 7_200  # it goes on playing
    assert playback.heard(90_000) == 16_800  # but nobody is believed for ever
    playback.pause(12_000)
    assert playback.heard(20_000) == 7_200
    playback.resume(20_000)
    assert playback.heard(20_000) == 4_800  # until the next acknowledgement
