"""``vivavoce say``: what it refuses, and whole runs with a tiny random voice and transformer."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import soundfile
import torch
from tokenizers import pre_tokenizers

from assistant.cli.app import main
from assistant.errors import WeightsError
from assistant.model.backbone import Backbone
from assistant.model.config import ModelConfig
from assistant.model.decoder import TorchDecoder
from assistant.model.speaking import recital
from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.head import MelHead
from assistant.model.speaking.loading import load_speaker, load_voice, save_voice
from assistant.model.speaking.speaker import Manner, Piece
from assistant.model.tokenizer import tokenizer_from_gguf
from audiocodec.numbers import N_MELS, SAMPLE_RATE
from audiocodec.vocoder import SourceFilterVocoder, VocoderConfig

HEAD = MelHeadConfig(
    model_width=16,
    layer=1,
    width=16,
    hidden=16,
    letter_layers=1,
    unit_layers=1,
    pitch_layers=1,
    pitch_width=8,
    decoder_layers=1,
    decoder_hidden=16,
    kernel=5,
)
VOCODER = VocoderConfig(layers=1, channels=16, hidden=16, kernel=5, pitch_layers=1, pitch_channels=8)
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
TOKENS = [*LETTERS, "<|im_start|>", "<|im_end|>"]
MODEL = ModelConfig(1, 16, 2, 1, 8, 32, len(TOKENS), 10_000.0, 1e-5, 1_024)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("voice") / "voice.safetensors"
    save_voice(path, MelHead(HEAD), SourceFilterVocoder(VOCODER))
    return path


@pytest.fixture(autouse=True)
def tiny_reciter(monkeypatch: pytest.MonkeyPatch, voice: Path) -> None:
    tokenizer = tokenizer_from_gguf(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": TOKENS,
            "tokenizer.ggml.merges": [],
            "tokenizer.ggml.token_type": [1] * len(LETTERS) + [3, 3],
        }
    )
    torch.manual_seed(0)
    reciter = recital.Reciter(load_speaker(voice), TorchDecoder(Backbone(MODEL).eval()), tokenizer)
    monkeypatch.setattr(recital, "load_reciter", lambda voice: reciter)


def test_writes_sound_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, mel = tmp_path / "new" / "a.wav", tmp_path / "a.png"
    assert main(["say", "Hello, it is 5 pm.", "--out", str(out), "--mel", str(mel), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    pcm, rate = soundfile.read(out)
    assert rate == SAMPLE_RATE
    assert figures["text"] == "Hello, it is 5 pm."
    assert figures["audio_s"] == pytest.approx(len(pcm) / SAMPLE_RATE, abs=1e-3)
    assert figures["ttfa_ms"] > 0
    assert figures["rtf"] > 0
    height, width, _ = cv2.imread(str(mel)).shape
    assert height == 3 * N_MELS
    assert width == pytest.approx(100 * figures["audio_s"], abs=1)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.MP3"])
def test_writes_other_formats(tmp_path: Path, name: str) -> None:
    assert main(["say", "One two three.", "--out", str(tmp_path / name)]) == 0
    pcm, rate = soundfile.read(tmp_path / name)
    assert rate == SAMPLE_RATE
    assert len(pcm) > 0


def test_speaks_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("One two.\n\nThree.\n")
    assert main(["say", "--lines", str(lines), "--out-dir", str(tmp_path / "out"), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == ["One two.", "Three."]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0001.wav", "0002.wav"]


def test_reads_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Grüße \xff".encode("latin-1"))))
    assert main(["say", "-", "--out", str(tmp_path / "a.wav")]) == 0
    assert len(soundfile.read(tmp_path / "a.wav")[0]) > 0


def test_a_failure_leaves_no_half_written_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = recital.Reciter.recite

    def broken(self: recital.Reciter, text: str, manner: Manner) -> Iterator[Piece]:
        yield next(iter(whole(self, text, manner)))
        raise WeightsError("the voice has gone")

    monkeypatch.setattr(recital.Reciter, "recite", broken)
    assert main(["say", "One two three four.", "--out", str(tmp_path / "a.wav")]) == 1
    assert "the voice has gone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "  \n ", "*** 😀 —", "你好"])
def test_nothing_to_say(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert main(["say", text, "--out", str(tmp_path / "a.wav"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "nothing to say" in captured.err
    assert json.loads(captured.out)["audio_s"] == 0
    assert len(soundfile.read(tmp_path / "a.wav")[0]) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["say"], 2, "nothing to say"),
        (["say", "Hi"], 2, "--out"),
        (
            ["say", "Hi", "--out", "a.wav", "--style", "grumpy"],
            1,
            "neutral, cheerful, calm, whisper, excited",
        ),
        (["say", "Hi", "--out", "a.wav", "--rate", "9"], 1, "0.5 to 2"),
        (["say", "Hi", "--out", "/proc/none/a.wav"], 1, "cannot write"),
        (["say", "Hi", "--out", "a.xyz"], 1, ".wav, .flac, .ogg, .mp3"),
        (["say", "Hi", "--out", "/dev/null/a.wav"], 1, "cannot write"),
        (["say", "--lines", "none.txt", "--out-dir", "x"], 2, "not a file"),
        (["say", "Hi", "--lines", "none.txt"], 2, "not both"),
    ],
)
def test_refuses_in_one_line(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    assert message in capsys.readouterr().err


def test_voice_file_is_checked(tmp_path: Path, voice: Path) -> None:
    head, vocoder = load_voice(voice)
    assert (head.config, vocoder.config) == (HEAD, VOCODER)
    with pytest.raises(WeightsError, match="no voice"):
        load_voice(tmp_path / "none.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(voice.read_bytes()[:2_000])
    with pytest.raises(WeightsError, match="damaged"):
        load_voice(cut)


@torch.inference_mode()
def test_a_voice_that_is_to_speak_has_sharper_spectra_than_its_file(voice: Path) -> None:
    _, plain = load_voice(voice)
    mel = torch.randn(1, 20, N_MELS, generator=torch.Generator().manual_seed(0)) - 5
    spread = [
        vocoder(mel, vocoder.initial_state(1), None).filters.chunk(2, dim=-1)[0].std(dim=-1).mean()
        for vocoder in (plain, load_speaker(voice).vocoder)
    ]
    assert spread[1] > 1.1 * spread[0]
