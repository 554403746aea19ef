"""Echo cancellation, where its extra is installed."""

import importlib.util

import numpy as np
import pytest

from assistant.client.echo import EchoCanceller

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("livekit") is None, reason="needs bin/setup --extra aec"
)

RATE = 24_000
DELAY = RATE * 80 // 1_000


def test_the_loudspeaker_is_taken_out_of_the_microphone() -> None:
    far = np.random.default_rng(0).normal(0, 3_000, 4 * RATE).astype("<i2")
    near = np.concatenate([np.zeros(DELAY, "<i2"), far[:-DELAY] // 2])
    canceller = EchoCanceller(80)
    cleaned = b""
    for at in range(0, len(far), 480):
        canceller.played(far[at : at + 480].tobytes())
        cleaned += canceller.clean(near[at : at + 480].tobytes())
    left = np.frombuffer(cleaned, "<i2")
    assert len(left) == len(near)
    assert left[-RATE:].std() < 0.03 * near[-RATE:].std()
