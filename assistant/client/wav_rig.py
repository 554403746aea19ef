"""Sound files in place of microphone and loudspeaker, at real-time pace: for tests and for measuring."""

import threading
import time
from pathlib import Path

import numpy as np

from assistant.client.playout import Playout
from assistant.client.sound import PACKET_SAMPLES, Hear, Recorded, Report, report_block
from assistant.errors import AudioError
from assistant.extras import require
from audiocodec.numbers import SAMPLE_RATE

PACKET_S = PACKET_SAMPLES / SAMPLE_RATE


def read_question(path: Path) -> bytes:
    """Read a sound file as int16 mono at 24 kHz. Raises AudioError."""
    soundfile = require("soundfile")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"cannot read {path}: {error}") from error
    mono = require("soxr").resample(samples.mean(axis=1), rate, SAMPLE_RATE)
    pcm: bytes = (np.clip(mono, -1, 1) * 32767).round().astype("<i2").tobytes()
    return pcm


class WavRig:
    """Feeds a file, then silence, as if it were spoken; writes what is played, on the same time line.

    Sample n of the written file sounded while sample n of the read one was spoken, so that the gap between
    question and answer can be measured in the files.
    """

    def __init__(self, question: Path | None, answer: Path | None) -> None:
        self._pcm = read_question(question) if question else b""
        self._answer = answer
        self._recorded: list[bytes] = []
        self._stop = threading.Event()
        self._exhausted = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def exhausted(self) -> bool:
        """The whole file was fed."""
        return self._exhausted.is_set()

    def start(self, playout: Playout, hear: Hear, report: Report) -> None:
        """Begin to feed and to record."""
        self._thread = threading.Thread(
            target=self._run, args=(playout, hear, report), name="wav-rig", daemon=True
        )
        self._thread.start()

    def revive(self) -> str | None:
        """Files do not stall."""
        return None

    def close(self) -> None:
        """Stop, and write the answer's file."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._answer is not None:
            played = np.frombuffer(b"".join(self._recorded), "<i2")
            require("soundfile").write(self._answer, played, SAMPLE_RATE, subtype="PCM_16")

    def _run(self, playout: Playout, hear: Hear, report: Report) -> None:
        began_s = time.monotonic()
        packet_bytes = 2 * PACKET_SAMPLES
        packet = 0
        while not self._stop.wait(max(0.0, began_s + (packet + 1) * PACKET_S - time.monotonic())):
            pcm = self._pcm[packet * packet_bytes : (packet + 1) * packet_bytes]
            if not pcm:
                self._exhausted.set()
            hear(Recorded(pcm.ljust(packet_bytes, b"\0"), began_s + (packet + 1) * PACKET_S))
            sound, events, position = playout.render(PACKET_SAMPLES)
            report_block(events, position, report, began_s + packet * PACKET_S, PACKET_SAMPLES)
            self._recorded.append(sound)
            packet += 1
