"""Takes the loudspeaker's sound out of the microphone's, with WebRTC's audio processing.

The package ``livekit`` brings it; it works on its own, without a server or a room.
"""

import threading
from typing import Any

from assistant.extras import require
from audiocodec.numbers import SAMPLE_RATE

FRAME_BYTES = SAMPLE_RATE // 100 * 2  # 10 ms of int16, the only length that it takes


class EchoCanceller:
    """Cleans the microphone of what the loudspeaker plays; also removes steady noise and rumble.

    Both sides come from threads of their own; a lock keeps them apart (0.2 ms per 10 ms of sound).
    """

    def __init__(self, delay_ms: int) -> None:
        """Make one.

        Args:
            delay_ms: from handing sound to the loudspeaker to its arrival at the microphone, roughly.
        """
        self._rtc = require("livekit.rtc")
        self._processor = self._rtc.AudioProcessingModule(
            echo_cancellation=True, noise_suppression=True, high_pass_filter=True, auto_gain_control=False
        )
        self._processor.set_stream_delay_ms(delay_ms)
        self._lock = threading.Lock()
        self._near = bytearray()
        self._far = bytearray()

    def played(self, pcm: bytes) -> None:
        """Note int16 sound that goes to the loudspeaker."""
        with self._lock:
            self._far += pcm
            for frame in _frames(self._far):
                self._processor.process_reverse_stream(self._frame(frame))

    def clean(self, pcm: bytes) -> bytes:
        """Give the microphone's sound without the echo; up to 10 ms are kept until more comes."""
        with self._lock:
            self._near += pcm
            cleaned = bytearray()
            for frame in _frames(self._near):
                processed = self._frame(frame)
                self._processor.process_stream(processed)
                cleaned += bytes(processed.data.cast("B"))
            return bytes(cleaned)

    def _frame(self, pcm: bytes) -> Any:
        return self._rtc.AudioFrame(pcm, SAMPLE_RATE, 1, len(pcm) // 2)


def _frames(buffer: bytearray) -> list[bytes]:
    """Take all whole frames out of a buffer."""
    whole = len(buffer) // FRAME_BYTES * FRAME_BYTES
    frames = [bytes(buffer[at : at + FRAME_BYTES]) for at in range(0, whole, FRAME_BYTES)]
    del buffer[:whole]
    return frames
