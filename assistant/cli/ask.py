"""``vivavoce ask``: answer spoken questions aloud."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.errors import AssistantError, AudioError

if TYPE_CHECKING:
    from assistant.engine.asking import Answered

Files = Annotated[list[Path], typer.Argument(help="Sound files with a question each: wav, flac, ogg or mp3.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(ask)


def ask(
    files: Files,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for the spoken answers, one WAV each.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Take the files in at a microphone's pace.")
    ] = False,
    style: Annotated[
        str, typer.Option(help="How to answer: neutral, cheerful, calm, whisper, excited.")
    ] = "neutral",
    rate: Annotated[float, typer.Option(help="Speaking rate, 0.5 to 2.")] = 1.0,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always takes the likeliest word.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the choice of words.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 160,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Answer the question in each of FILES, heard and spoken by one model.

    Files that cannot be read are named on standard error, and the exit code is then 1.
    """
    from assistant.compose import load_omni
    from assistant.config import load
    from assistant.engine.asking import Asking
    from assistant.engine.asking import ask as answer
    from assistant.session.engine import Speech
    from assistant.session.settings import DEFAULT_INSTRUCTIONS

    if out_dir is not None:
        _make(out_dir)
    speech = Speech(style=style, rate=rate)
    how = Asking(DEFAULT_INSTRUCTIONS, max_tokens, temperature, seed, speech, real_time=stream)
    omni = load_omni(load())
    failed = 0
    for path in files:
        try:
            answered = answer(omni, _pieces(path), how)
        except AssistantError as error:
            failed += 1
            print(f"vivavoce: {error}", file=sys.stderr)
            continue
        if out_dir is not None:
            _write(out_dir / f"{path.stem}.wav", answered)
        _show(path, answered, as_json)
    if failed:
        raise typer.Exit(1)


def _pieces(path: Path) -> Iterator[bytes]:
    import numpy as np

    from assistant.audio_files import read_pieces

    for piece in read_pieces(path):
        yield (np.clip(piece, -1, 1) * 32767).round().astype("<i2").tobytes()


def _show(path: Path, answered: "Answered", as_json: bool) -> None:
    figures = {
        "file": str(path),
        "text": answered.text,
        "audio_s": round(answered.audio_s, 3),
        "ttft_ms": round(answered.ttft_ms, 1),
        "ttfa_ms": round(answered.ttfa_ms, 1),
        "rtf": round(answered.rtf, 4),
    }
    if as_json:
        print(json.dumps(figures, ensure_ascii=False), flush=True)
    else:
        print(f"{path}: {answered.text}  (first sound after {figures['ttfa_ms']} ms)", flush=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioError(f"cannot make {folder}: {error.strerror}; choose another --out-dir") from None


def _write(path: Path, answered: "Answered") -> None:
    import numpy as np
    import soundfile

    from audiocodec.numbers import SAMPLE_RATE

    try:
        soundfile.write(path, np.frombuffer(answered.pcm, "<i2"), SAMPLE_RATE)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"cannot write {path}: {error}; choose another --out-dir") from None
