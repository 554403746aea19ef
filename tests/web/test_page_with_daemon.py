"""The page in a real headless Chromium, against the daemon itself around a model that needs no weights."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.fakes import silence, tone
from tests.web.test_page import heard, no_faults, wait_for_state, wait_until

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
WORDS = " ".join(["word"] * 120)  # the fake model says it back, 80 ms a word


@pytest.fixture
def daemon() -> Iterator[str]:
    """Address of the daemon's page."""
    environment = {**os.environ, "PYTHONPATH": "codecs", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.serve_fake"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://localhost:{process.stdout.readline().strip()}/"
        process.terminate()


def write(path: Path, *sounds: bytes) -> Path:
    soundfile.write(path, np.frombuffer(b"".join(sounds), "<i2"), 24_000)
    return path


def last_message(page: Any, kind: str) -> float:
    """When the last event of a type arrived, in ms of the page's clock."""
    return float(page.evaluate(f"window.messages.filter(([type]) => type === '{kind}').at(-1)[1]"))


def test_a_spoken_question_is_answered(daemon: str, open_page: Any, tmp_path: Path) -> None:
    page = open_page(daemon, question=write(tmp_path / "q.wav", silence(0.6), tone(1.5), silence(30)))
    page.locator("#talk").click()
    page.locator(".line.assistant .said", has_text="You said").wait_for()
    wait_for_state(page, "speaking")
    wait_for_state(page, "listening")
    page.locator(".line.user .said", has_text="seconds of sound").wait_for()
    blocks, _ = heard(page)
    spoken = blocks.ravel()[np.abs(blocks.ravel()) > 200]
    assert len(spoken) > 24_000 // 4
    page.locator("#latency").click()
    assert page.locator("#latency-list dt").all_inner_texts()[0] == "Knowing that you had finished"
    total = float(page.locator("#latency-value").inner_text().removesuffix(" ms"))
    assert 100 < total < 1_500
    no_faults(page)


def test_speech_during_an_answer_silences_it(daemon: str, open_page: Any, tmp_path: Path) -> None:
    page = open_page(daemon, question=write(tmp_path / "q.wav", silence(5.0), tone(1.5), silence(30)))
    page.locator("#talk").click()
    wait_for_state(page, "listening")
    page.locator("#message").fill(WORDS)
    page.keyboard.press("Enter")
    wait_for_state(page, "speaking")
    page.locator(".who small", has_text="interrupted").wait_for()
    pause = last_message(page, "vivavoce.playback.pause")
    blocks, times = heard(page)
    truncated = last_message(page, "conversation.item.truncated")
    sounding = times[np.abs(blocks).max(axis=1) > 30]
    assert sounding[sounding < truncated].max() - pause < 200
    kept = page.locator(".line.assistant .said").first.inner_text()
    assert f"You said {WORDS}".startswith(kept)
    assert len(kept) < 0.8 * len(WORDS)
    no_faults(page)


def test_a_lost_network_is_survived(daemon: str, open_page: Any, tmp_path: Path) -> None:
    page = open_page(daemon, question=write(tmp_path / "q.wav", silence(30)))
    page.locator("#talk").click()
    wait_for_state(page, "listening")
    page.locator("#message").fill(WORDS)
    page.keyboard.press("Enter")
    wait_for_state(page, "speaking")
    page.context.set_offline(True)
    wait_for_state(page, "reconnecting")
    page.wait_for_timeout(1_000)
    page.context.set_offline(False)
    wait_for_state(page, "speaking")
    wait_for_state(page, "listening")
    assert page.locator(".line.assistant .said").inner_text().strip() == f"You said {WORDS} ."
    types = page.evaluate("window.messages.map(([type]) => type)")
    assert "vivavoce.session.resumed" in types
    assert types.count("session.created") == 1


def test_the_camera_is_accepted(daemon: str, open_page: Any, tmp_path: Path) -> None:
    page = open_page(daemon, question=write(tmp_path / "q.wav", silence(30)))
    page.locator("#talk").click()
    wait_for_state(page, "listening")
    page.locator("#camera-toggle").click()
    page.locator("#camera").wait_for()
    page.wait_for_timeout(1_500)
    wait_until(
        page, lambda: page.evaluate("document.getElementById('camera-view').videoWidth") == 640, "a picture"
    )
    assert page.locator(".toast").count() == 0
    assert "error" not in page.evaluate("window.messages.map(([type]) => type)")
    no_faults(page)
