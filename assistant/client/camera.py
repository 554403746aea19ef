"""A camera, a film or a stream, as small pictures for the assistant."""

import base64
import threading
import time
from collections.abc import Callable
from typing import Any

from assistant.errors import UsageError
from assistant.extras import require

INTERVAL_S = 0.5  # at most two pictures a second are looked at
LONGEST_SIDE_PX = 448  # the daemon letterboxes to 224; twice that leaves it room to crop
JPEG_QUALITY = 80


def fitted(width: int, height: int) -> tuple[int, int]:
    """Width and height with the longest side at LONGEST_SIDE_PX, never enlarged."""
    scale = min(1.0, LONGEST_SIDE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class Camera:
    """Reads a camera on a thread of its own and gives its newest picture twice a second."""

    def __init__(self, source: str, see: Callable[[str], None]) -> None:
        """Open a camera.

        Args:
            source: a camera's number, a file or a URL.
            see: gets each picture as a data URL, on the camera's thread.

        Raises:
            UsageError: it cannot be opened.
            DependencyError: OpenCV does not load.
        """
        self._cv2 = require("cv2")
        self._see = see
        self._capture: Any = self._cv2.VideoCapture(int(source) if source.isdigit() else source)
        if not self._capture.isOpened():
            raise UsageError(f"--camera {source}: cannot be opened; give a camera's number, a film or a URL")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the camera."""
        self._stop.set()
        self._thread.join()
        self._capture.release()

    def _run(self) -> None:
        frame_s = 1 / (self._capture.get(self._cv2.CAP_PROP_FPS) or 30)
        next_s = time.monotonic()
        while not self._stop.wait(frame_s / 2 if frame_s > 0.02 else 0.01):
            if not self._capture.grab():  # taking every frame keeps a live camera's buffer fresh
                return  # a film has ended
            if time.monotonic() < next_s:
                continue
            next_s = time.monotonic() + INTERVAL_S
            found, picture = self._capture.retrieve()
            if found:
                self._see(self._encode(picture))

    def _encode(self, picture: Any) -> str:
        size = fitted(picture.shape[1], picture.shape[0])
        small = self._cv2.resize(picture, size, interpolation=self._cv2.INTER_AREA)
        options = [self._cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        encoded = self._cv2.imencode(".jpg", small, options)[1].tobytes()
        return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
