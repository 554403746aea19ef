"""A real headless Chromium with a sound file as microphone and a film as camera."""

import importlib.util
import json
import shutil
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.web.stand_in import StandIn, speech_like

FLAGS = (
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

JS = '{ type: "text/javascript" }'
TAP_WORKLET = """
registerProcessor("tap", class extends AudioWorkletProcessor {
  block = new Float32Array(256);
  filled = 0;
  process([[input]]) {
    if (!input) return true;
    this.block.set(input, this.filled);
    this.filled += input.length;
    if (this.filled === this.block.length) {
      this.port.postMessage({ block: this.block, time: currentTime });
      this.filled = 0;
    }
    return true;
  }
});
"""

# Listens to what the page plays, and notes when messages arrive, without any help from the page.
TAP = """
(() => {
  window.heard = { pcm: [], times: [] };
  window.messages = [];
  window.faults = [];
  addEventListener("securitypolicyviolation", (event) => window.faults.push(event.violatedDirective));
  const Node = window.AudioWorkletNode;
  window.AudioWorkletNode = class extends Node {
    constructor(context, name, options) {
      super(context, name, options);
      if (name !== "playback" || !window.tapped) return;
      context.audioWorklet.addModule(window.tapped).then(() => {
        const tap = new Node(context, "tap", { numberOfOutputs: 0 });
        tap.port.onmessage = ({ data }) => {
          window.heard.times.push(performance.now() + (data.time - context.currentTime) * 1000);
          window.heard.pcm.push(Array.from(data.block, (value) => Math.round(value * 32768)));
        };
        this.connect(tap);
      });
    }
  };
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) => {
        window.messages.push([JSON.parse(data).type, performance.now()]);
      });
    }
  };
})();
"""


def write_question(path: Path, silence_s: float) -> Path:
    """One second of something like speech, then silence, as a WAV file; Chromium plays it over and over."""
    pcm = np.frombuffer(speech_like(1.0)[0], "<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(np.concatenate([pcm, np.zeros(int(silence_s * 24_000), "<i2")]).tobytes())
    return path


def write_film(path: Path) -> Path:
    """A red picture, as a film that Chromium takes for a camera."""
    width, height = 640, 480
    luma = np.full((height, width), 81, np.uint8)
    blue = np.full((height // 2, width // 2), 90, np.uint8)
    red = np.full((height // 2, width // 2), 240, np.uint8)
    frame = b"FRAME\n" + luma.tobytes() + blue.tobytes() + red.tobytes()
    path.write_bytes(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n" + frame * 10)
    return path


def chromium_path() -> str | None:
    """Where a Chromium is, or None."""
    return next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (found := shutil.which(name))
        ),
        None,
    )


Opener = Callable[..., Any]


@pytest.fixture(scope="session")
def playwright_driver() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("needs the package playwright")
    if chromium_path() is None:
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        yield driver


@pytest.fixture
def open_page(playwright_driver: Any, tmp_path: Path) -> Iterator[Opener]:
    """Opens a page: ``open_page(url, silence_s=…, question=…)``; further words go to the browser context."""
    browsers = []

    def opener(
        url: str,
        *,
        silence_s: float = 30.0,
        question: Path | None = None,
        tapped: bool = True,
        **context: Any,
    ) -> Any:
        sound = question or write_question(tmp_path / "question.wav", silence_s)
        film = write_film(tmp_path / "camera.y4m")
        files = (f"--use-file-for-fake-audio-capture={sound}", f"--use-file-for-fake-video-capture={film}")
        browser = playwright_driver.chromium.launch(executable_path=chromium_path(), args=[*FLAGS, *files])
        browsers.append(browser)
        context["bypass_csp"] = tapped  # the listener is no file of the page
        context.setdefault("viewport", {"width": 1280, "height": 800})
        page = browser.new_context(permissions=["microphone", "camera"], **context).new_page()
        page.set_default_timeout(15_000)
        page.add_init_script(TAP)
        if tapped:
            page.add_init_script(
                f"window.tapped = URL.createObjectURL(new Blob([{json.dumps(TAP_WORKLET)}], {JS}));"
            )
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on(
            "console", lambda message: page.faults.append(message.text) if message.type == "error" else None
        )
        page.goto(url)
        return page

    yield opener
    for browser in browsers:
        browser.close()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running
