"""``vivavoce transcribe`` and ``codec`` without weights."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from torch import Tensor

from assistant.cli.app import main
from assistant.cli.codec import KIND, read_codes
from assistant.errors import AudioError
from assistant.model import listening
from assistant.model.transcribe import Utterance
from audiocodec.viva import SPEC


class Counting:
    """Writes down how much it was given."""

    def __call__(self, pieces: Iterable[Tensor]) -> Iterator[Utterance]:
        samples = sum(len(piece) for piece in pieces)
        if samples > 6_000:
            yield Utterance(f"{samples} samples", 0.0, 0.1)
            yield Utterance("and no more", 0.1, 0.2)


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(listening, "load_transcriber", Counting)
    soundfile.write(tmp_path / "a.wav", np.full(12_000, 0.1), 24_000)
    soundfile.write(tmp_path / "b.flac", np.full(8_000, 0.1), 16_000)
    soundfile.write(tmp_path / "short.wav", np.full(1_000, 0.1), 24_000)
    (tmp_path / "bad.wav").write_text("this is no sound")
    return tmp_path


def test_one_line_a_file(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(sounds / name) for name in ("a.wav", "b.flac", "short.wav")]
    assert main(["transcribe", *names, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == names
    assert lines[0]["text"] == "12000 samples and no more"
    assert lines[1]["text"].endswith("and no more")
    assert lines[2]["text"] == ""


def test_a_bad_file_is_named_and_the_others_are_done(
    sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", str(sounds / "bad.wav"), str(sounds / "a.wav")]) == 1
    out, err = capsys.readouterr()
    assert "12000 samples" in out
    assert "bad.wav is no sound file" in err


def test_no_words_are_said_to_be_none(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", str(sounds / "short.wav")]) == 0
    assert "couldn't hear any words" in capsys.readouterr().out


def test_codes_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "codes.json"
    path.write_text(json.dumps({"kind": KIND, "codes": [[1] * 8, [2_047] * 8]}))
    assert read_codes(path, SPEC).shape == (1, 8, 2)
    for codes in ([[1] * 7], [[-1] * 8], [[2_048] * 8], [], "x"):
        path.write_text(json.dumps({"kind": KIND, "codes": codes}))
        with pytest.raises(AudioError, match="codes"):
            read_codes(path, SPEC)
    path.write_text(json.dumps({"kind": "viva-codes/1", "codes": [[1] * 8]}))
    with pytest.raises(AudioError, match="holds viva-codes/1, must be .*: encode it again"):
        read_codes(path, SPEC)
    with pytest.raises(AudioError, match="holds no codes"):
        read_codes(tmp_path / "none.json", SPEC)
