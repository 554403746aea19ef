"""Sound files of every kind, good and bad."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from assistant.audio_files import read_audio, read_pieces, write_wav
from assistant.errors import AudioError


def tone(sample_rate: int, seconds: float = 0.5, pitch_hz: float = 440.0) -> np.ndarray:
    time = np.arange(round(sample_rate * seconds)) / sample_rate
    return (0.4 * np.sin(2 * np.pi * pitch_hz * time)).astype(np.float32)


def crossings_hz(audio: np.ndarray) -> float:
    return float(np.sum(np.diff(np.signbit(audio))) / 2 / (len(audio) / 24_000))


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 24_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_any_rate(tmp_path: Path, sample_rate: int, kind: str) -> None:
    path = tmp_path / f"tone.{kind}"
    soundfile.write(path, tone(sample_rate), sample_rate)
    audio = read_audio(path)
    assert audio.dtype == np.float32
    assert len(audio) == pytest.approx(12_000, abs=30)
    assert crossings_hz(audio) == pytest.approx(440, rel=0.02)


@pytest.mark.parametrize("kind", ["ogg", "mp3"])
def test_lossy_kinds(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"tone.{kind}"
    soundfile.write(path, tone(48_000), 48_000)
    assert crossings_hz(read_audio(path)) == pytest.approx(440, rel=0.05)


def test_channels_are_averaged_and_a_constant_is_taken_out(tmp_path: Path) -> None:
    left = tone(24_000)
    soundfile.write(tmp_path / "two.wav", np.stack([left + 0.3, np.zeros_like(left) + 0.3], axis=1), 24_000)
    audio = read_audio(tmp_path / "two.wav")
    np.testing.assert_allclose(audio, left / 2, atol=1e-3)


def test_numbers_that_are_none_are_silence(tmp_path: Path) -> None:
    samples = tone(24_000)
    samples[10:20], samples[30] = np.nan, np.inf
    soundfile.write(tmp_path / "bad.wav", samples, 24_000, "FLOAT")
    audio = read_audio(tmp_path / "bad.wav")
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1.01


def test_long_files_come_in_pieces(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", tone(8_000, 25), 8_000)
    pieces = list(read_pieces(tmp_path / "long.wav"))
    assert len(pieces) >= 3
    assert sum(map(len, pieces)) == pytest.approx(25 * 24_000, abs=30)


def whole_wav() -> bytes:
    kept = io.BytesIO()
    soundfile.write(kept, tone(24_000), 24_000, "PCM_16", format="WAV")
    return kept.getvalue()


def test_a_cut_off_file_gives_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "cut.wav").write_bytes(whole_wav()[:10_000])
    assert 4_000 < len(read_audio(tmp_path / "cut.wav")) < 5_000


def test_a_lying_length_does_not_matter(tmp_path: Path) -> None:
    data = bytearray(whole_wav())
    start = data.find(b"data") + 4
    data[start : start + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    (tmp_path / "lies.wav").write_bytes(bytes(data))
    assert len(read_audio(tmp_path / "lies.wav")) == pytest.approx(12_000, abs=2)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.wav", b"", "no sound file"),
        ("text.wav", b"hello there, this is text" * 10, "no sound file"),
        ("nothing.wav", None, "holds no sound"),
    ],
)
def test_useless_files_are_named(tmp_path: Path, name: str, data: bytes | None, says: str) -> None:
    path = tmp_path / name
    if data is None:
        soundfile.write(path, np.zeros(0, np.float32), 24_000)
    else:
        path.write_bytes(data)
    with pytest.raises(AudioError, match=says) as caught:
        read_audio(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_impossible_rates(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is not a file"):
        read_audio(tmp_path / "none.wav")
    soundfile.write(tmp_path / "slow.wav", tone(1_000), 1_000)
    with pytest.raises(AudioError, match="1000 Hz"):
        read_audio(tmp_path / "slow.wav")


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "out.wav", tone(24_000))
    np.testing.assert_allclose(read_audio(tmp_path / "out.wav"), tone(24_000), atol=1e-3)
    with pytest.raises(AudioError, match="cannot be written"):
        write_wav(tmp_path / "no" / "out.wav", tone(24_000))
