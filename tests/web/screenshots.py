"""Draw the page's pictures for the docs: ``python -m tests.web.screenshots docs/images`` (needs Chromium).

The stand-in speaks with the assistant's own voice, so that the figure and the picture of the sound are real.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from playwright.sync_api import sync_playwright

from assistant.engine.answering import mel_bytes
from audiocodec.mel import LogMel
from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS
from tests.web.conftest import FLAGS, chromium_path, write_question
from tests.web.stand_in import ANSWER, StandIn

SIZES = {"wide": (1280, 800), "narrow": (390, 844)}
SPEAKING_MS = 3_300  # into the answer


def spoken(text: str, folder: Path) -> tuple[bytes, np.ndarray]:
    """A text in the assistant's voice: int16 sound at 24 kHz and its mel frames as the daemon sends them."""
    path = folder / "answer.wav"
    subprocess.run(
        [sys.executable, "-m", "assistant", "say", text, "-o", str(path)], check=True, capture_output=True
    )
    samples = soundfile.read(path, dtype="float32")[0]
    samples = samples[: len(samples) // MEL_HOP_LENGTH * MEL_HOP_LENGTH]
    log_mel = LogMel()
    mel, _ = log_mel(torch.from_numpy(samples)[None], log_mel.initial_state(1))
    pcm = (samples * 32767).astype("<i2").tobytes()
    return pcm, np.frombuffer(mel_bytes(mel[0]), np.uint8).reshape(-1, N_MELS)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        sound = spoken(ANSWER, Path(scratch))
        question = write_question(Path(scratch) / "question.wav", 60.0)
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={question}"]
        browser = driver.chromium.launch(executable_path=chromium_path(), args=flags)
        with StandIn(sound=sound) as stand_in:
            for size, (width, height) in SIZES.items():
                for theme in ("light", "dark"):
                    context = browser.new_context(
                        viewport={"width": width, "height": height},
                        color_scheme=theme,
                        permissions=["microphone"],
                    )
                    page = context.new_page()
                    page.goto(stand_in.url)
                    page.locator("#talk").click()
                    page.locator('body[data-state="speaking"]').wait_for()
                    page.mouse.move(5, height - 5)
                    page.wait_for_timeout(SPEAKING_MS)
                    page.screenshot(path=folder / f"page-{size}-{theme}.png")
                    context.close()
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
