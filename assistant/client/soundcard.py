"""Microphone and loudspeaker of this machine, through PortAudio."""

import threading
import time
from typing import Any

from assistant.client.devices import SoundDevice
from assistant.client.echo import EchoCanceller
from assistant.client.playout import Playout
from assistant.client.sound import (
    PACKET_SAMPLES,
    Hear,
    PaceGuard,
    RateConverter,
    Recorded,
    Report,
    report_block,
)
from assistant.errors import AudioError
from assistant.extras import require
from audiocodec.numbers import SAMPLE_RATE

STALLED_S = 1.5  # without a single callback: start the stream again
LATENCY_S = 0.04  # steady on PipeWire, ALSA and Core Audio; what PortAudio calls low or high is neither


class Soundcard:
    """Records and plays with one device each; starts a stream again when it stalls."""

    def __init__(
        self,
        microphone: SoundDevice,
        loudspeaker: SoundDevice,
        echo: EchoCanceller | None = None,
        latency_s: float = LATENCY_S,
    ) -> None:
        self._sounddevice = require("sounddevice")
        self._devices = {"input": microphone, "output": loudspeaker}
        self._echo = echo
        self._latency_s = latency_s
        self._streams: dict[str, Any] = {}
        self._alive_s = {"input": 0.0, "output": 0.0}
        self._closing = threading.Event()

    @property
    def exhausted(self) -> bool:
        """Never: a microphone has no end."""
        return False

    def start(self, playout: Playout, hear: Hear, report: Report) -> None:
        """Begin to record and to play. Raises AudioError when a device cannot be opened."""
        self._playout, self._hear, self._report = playout, hear, report
        self._open("output")
        self._open("input")

    def revive(self) -> str | None:
        """Start a stream again from which nothing was heard for a while."""
        now_s = time.monotonic()
        for kind in ("input", "output"):
            if now_s - self._alive_s[kind] > STALLED_S:
                self._streams[kind].close(ignore_errors=True)
                self._open(kind)
                return f"the sound {kind} stood still and was started again"
        return None

    def close(self) -> None:
        """Stop both streams."""
        self._closing.set()
        for stream in self._streams.values():
            stream.close(ignore_errors=True)

    def _open(self, kind: str) -> None:
        device = self._devices[kind]
        rate = self._rate(kind, device)
        make = self._sounddevice.RawInputStream if kind == "input" else self._sounddevice.RawOutputStream
        callback = self._recorder(rate) if kind == "input" else self._player(rate)
        try:
            stream = make(
                samplerate=rate,
                blocksize=PACKET_SAMPLES * rate // SAMPLE_RATE,
                device=device.index,
                channels=1,
                dtype="int16",
                latency=self._latency_s,
                callback=callback,
            )
            stream.start()
        except self._sounddevice.PortAudioError as error:
            raise AudioError(
                f"cannot open the {kind} {device.name!r}: {error}; see `vivavoce devices`"
            ) from error
        self._alive_s[kind] = time.monotonic()
        self._streams[kind] = stream

    def _rate(self, kind: str, device: SoundDevice) -> int:
        """The wire's rate where the device takes it, else the device's own."""
        check = getattr(self._sounddevice, f"check_{kind}_settings")
        try:
            check(device=device.index, channels=1, dtype="int16", samplerate=SAMPLE_RATE)
        except self._sounddevice.PortAudioError:
            return device.sample_rate
        return SAMPLE_RATE

    def _recorder(self, rate: int) -> Any:
        converter = RateConverter(rate, SAMPLE_RATE)

        def record(data: Any, frames: int, times: Any, _status: Any) -> None:
            now_s = self._alive_s["input"] = time.monotonic()
            if self._closing.is_set():
                return
            behind_s = max(0.0, min(0.5, times.currentTime - times.inputBufferAdcTime)) - frames / rate
            pcm = converter.convert(bytes(data))
            if self._echo is not None:
                pcm = self._echo.clean(pcm)
            if pcm:
                self._hear(Recorded(pcm, now_s - max(0.0, behind_s)))

        return record

    def _player(self, rate: int) -> Any:
        converter = RateConverter(SAMPLE_RATE, rate)
        guard = PaceGuard()
        ready = bytearray()

        def play(data: Any, frames: int, times: Any, _status: Any) -> None:
            now_s = self._alive_s["output"] = time.monotonic()
            wait_s = max(0.0, min(0.5, times.outputBufferDacTime - times.currentTime))
            while len(ready) < len(data):
                samples = PACKET_SAMPLES
                if self._closing.is_set() or not guard.admits(samples, now_s):
                    ready.extend(bytes(len(data) - len(ready)))
                    break
                queued_s = len(ready) / 2 / rate
                pcm, events, position = self._playout.render(samples)
                report_block(events, position, self._report, now_s + wait_s + queued_s, samples)
                if self._echo is not None:
                    self._echo.played(pcm)
                ready.extend(converter.convert(pcm))
            data[:] = bytes(ready[: len(data)])
            del ready[: len(data)]

        return play
