"""Pictures of sound."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from assistant.errors import AudioError
from audiocodec.mel import SILENCE

LOUDEST = 3.0  # log mel that is drawn at full brightness
ROW_HEIGHT = 3  # pixels per mel bin
# Dark blue over purple and orange to pale yellow; evenly spaced.
COLOURS = np.asarray(
    ((4, 5, 24), (60, 15, 90), (150, 40, 105), (225, 90, 70), (252, 170, 80), (250, 245, 190)), np.float32
)


def draw_mel(path: Path, mel: NDArray[np.float32]) -> None:
    """Draw log mel (frames, bins) as a PNG: time to the right, 10 ms a pixel, low notes below."""
    if not len(mel):
        mel = np.full((1, mel.shape[1]), SILENCE, np.float32)
    bright = np.clip((mel - SILENCE) / (LOUDEST - SILENCE), 0, 1) * (len(COLOURS) - 1)
    low = np.minimum(bright.astype(np.int64), len(COLOURS) - 2)
    part = (bright - low)[..., None]
    picture = (COLOURS[low] * (1 - part) + COLOURS[low + 1] * part).astype(np.uint8)
    picture = np.repeat(picture.transpose(1, 0, 2)[::-1], ROW_HEIGHT, axis=0)
    _, png = cv2.imencode(".png", picture[..., ::-1])  # OpenCV wants blue first
    try:
        path.write_bytes(png.tobytes())
    except OSError as error:
        raise AudioError(f"cannot write {path}: {error.strerror}; choose another place") from None
