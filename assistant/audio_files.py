"""Sound files of any kind: read to mono at 24 kHz, in pieces or whole, and written as WAV.

Headers are not trusted: what counts is what can be decoded.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from assistant.errors import AudioError
from audiocodec.numbers import SAMPLE_RATE

Audio = NDArray[np.float32]
PIECE_S = 10.0  # read at once, so that an hour needs no more memory than ten seconds
LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000  # Hz
MOST_CHANNELS = 16
DC_HZ = 20.0  # slower movement than this is no sound


def read_pieces(path: Path) -> Iterator[Audio]:
    """Give a file's sound piece by piece: mono float32 in [-1, 1] at 24 kHz, without its constant offset.

    A file that ends early gives what it has. Channels are averaged; numbers that are none count as silence.

    Raises:
        AudioError: no such file, no sound in it, or a kind that cannot be decoded.
    """
    if not path.is_file():
        raise AudioError(f"{path} is not a file")
    try:
        with soundfile.SoundFile(path) as file:
            if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
                raise AudioError(
                    f"{path} says {file.samplerate} Hz; {LOWEST_RATE} to {HIGHEST_RATE} can be heard"
                )
            if file.channels > MOST_CHANNELS:
                raise AudioError(
                    f"{path} says {file.channels} channels; at most {MOST_CHANNELS} can be heard"
                )
            yield from _resampled(_decoded(file, path), file.samplerate)
    except soundfile.LibsndfileError as error:
        reason = str(error).rpartition(": ")[2].strip().rstrip(".")
        raise AudioError(
            f"{path} is no sound file that can be read ({reason}); use wav, flac, ogg or mp3"
        ) from error


def _decoded(file: soundfile.SoundFile, path: Path) -> Iterator[Audio]:
    frames, heard, offset = round(PIECE_S * file.samplerate), 0, 0.0
    share = 1 - np.exp(-2 * np.pi * DC_HZ * PIECE_S)
    while True:
        try:
            piece = file.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            if not heard:
                raise
            break  # damaged from here on
        if not len(piece):
            break
        mono = np.nan_to_num(piece.mean(axis=1), nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1)
        offset = float(mono.mean()) if not heard else offset + share * (float(mono.mean()) - offset)
        heard += len(mono)
        yield (mono - offset).astype(np.float32)
    if not heard:
        raise AudioError(f"{path} holds no sound")


def _resampled(pieces: Iterator[Audio], sample_rate: int) -> Iterator[Audio]:
    if sample_rate == SAMPLE_RATE:
        yield from pieces
        return
    stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32")
    for piece in pieces:
        made = stream.resample_chunk(piece)
        if len(made):
            yield made
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def read_audio(path: Path) -> Audio:
    """Give a whole file's sound; see ``read_pieces``."""
    return np.concatenate(list(read_pieces(path)))


def write_wav(path: Path, audio: Audio, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono sound in [-1, 1] as 16-bit WAV.

    Raises:
        AudioError: the file cannot be written.
    """
    try:
        soundfile.write(path, np.clip(audio, -1.0, 1.0), sample_rate, "PCM_16", format="WAV")
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path} cannot be written: {error}") from error
