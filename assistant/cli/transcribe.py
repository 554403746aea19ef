"""``vivavoce transcribe``: write down what is said in sound files."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.errors import AssistantError

if TYPE_CHECKING:
    from assistant.model.transcribe import Transcriber

Files = Annotated[list[Path], typer.Argument(help="Sound files: wav, flac, ogg or mp3, any rate.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(transcribe)


def transcribe(files: Files, as_json: Json = False) -> None:
    """Write down what is said in FILES, one line each.

    A file without a word gives an empty text. Files that cannot be read are named on standard error; the
    others are still written down, and the exit code is 1.
    """
    from assistant.model.listening import load_transcriber

    transcriber = load_transcriber()
    failed = 0
    for path in files:
        try:
            text = written(transcriber, path)
        except AssistantError as error:
            failed += 1
            print(f"vivavoce: {error}", file=sys.stderr)
            continue
        if as_json:
            print(json.dumps({"file": str(path), "text": text}, ensure_ascii=False), flush=True)
        else:
            print(text or NOTHING if len(files) == 1 else f"{path}: {text or NOTHING}", flush=True)
    if failed:
        raise typer.Exit(1)


NOTHING = "(I couldn't hear any words.)"


def written(transcriber: "Transcriber", path: Path) -> str:
    """The words of one file."""
    import torch

    from assistant.audio_files import read_pieces

    pieces = (torch.from_numpy(piece) for piece in read_pieces(path))
    return " ".join(utterance.text for utterance in transcriber(pieces)).strip()
