"""``vivavoce say``: speak a text."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.errors import AudioError, UsageError

if TYPE_CHECKING:
    from assistant.model.speaking.recital import Reciter
    from assistant.model.speaking.speaker import Manner, Piece

SAMPLE_RATE = 24_000
FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
LONG = 300  # characters that take longer than two seconds: how far it is, is shown

Take = Callable[["Piece"], None]  # what is done with every piece of sound as it is made


@dataclass(frozen=True, slots=True)
class Recital:
    """The figures of one spoken text."""

    audio_s: float
    ttfa_ms: float  # until its first sound
    rtf: float


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(say)


def say(
    text: Annotated[str | None, typer.Argument(help="What to say; - reads standard input.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a sound file: wav, flac, ogg or mp3.")
    ] = None,
    lines: Annotated[Path | None, typer.Option(help="Speak every line of a file.")] = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for the lines' WAV files.")] = None,
    style: Annotated[str, typer.Option(help="neutral, cheerful, calm, whisper or excited.")] = "neutral",
    rate: Annotated[float, typer.Option(help="Speaking rate, 0.5 to 2.")] = 1.0,
    pitch: Annotated[float, typer.Option(help="Factor on the pitch, 0.6 to 1.6.")] = 1.0,
    volume: Annotated[float, typer.Option(help="Factor on the loudness, 0 to 4.")] = 1.0,
    mel: Annotated[Path | None, typer.Option(help="Draw the mel spectrogram as a PNG.")] = None,
    play: Annotated[bool, typer.Option("--play", help="Play it.")] = False,
    voice: Annotated[Path | None, typer.Option(help="Another voice's weight file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures as JSON, one line each.")] = False,
) -> None:
    """Speak a text with the assistant's own voice."""
    from assistant.model.speaking.recital import load_reciter
    from assistant.model.speaking.speaker import Manner

    manner = Manner(style, rate, pitch, volume)
    texts = _texts(text, lines)
    if lines is not None and out_dir is None:
        raise UsageError("--lines needs --out-dir, the folder for the WAV files")
    if lines is None and not (out or play or mel):
        raise UsageError("say where the sound should go: --out FILE, --play or --mel FILE")
    places = (
        [out]
        if lines is None
        else [out_dir / f"{i:04d}.wav" for i in range(1, len(texts) + 1)]
        if out_dir
        else []
    )
    for place in {p.parent for p in (*places, mel) if p is not None}:
        _writable(place)
    reciter = load_reciter(voice)
    for line, place in zip(texts, places, strict=True):
        mels: list[Piece] = []
        with ExitStack() as open_:
            takes: list[Take] = [mels.append] if mel is not None else []
            if place is not None:
                takes.append(open_.enter_context(sound_file(place)))
            if play:
                takes.append(open_.enter_context(loudspeaker()))
            spoken = recital(reciter, line, manner, takes)
        if not spoken.audio_s:
            print(
                f"vivavoce: nothing to say in {line.strip()[:60]!r}: there is no word in it", file=sys.stderr
            )
        if mel is not None:
            _draw(mel, mels)
        figures: dict[str, object] = {"text": line, "audio_s": round(spoken.audio_s, 3)}
        figures |= {"ttfa_ms": round(spoken.ttfa_ms, 1), "rtf": round(spoken.rtf, 4)}
        if as_json:
            print(
                json.dumps(figures | ({"out": str(place)} if lines is not None else {}), ensure_ascii=False),
                flush=True,
            )
        elif place is not None:
            print(
                f"{place}  {figures['audio_s']} s of sound, "
                f"first after {figures['ttfa_ms']} ms, RTF {figures['rtf']}"
            )


def recital(reciter: "Reciter", text: str, manner: "Manner", takes: list[Take]) -> Recital:
    """Speak a text, give each piece away as it is made, and measure; the times include the transformer's
    reading.
    """
    from rich.console import Console
    from rich.progress import Progress

    begun, first, samples = time.perf_counter(), 0.0, 0
    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=len(text) < LONG or not console.is_terminal
    ) as bar:
        task = bar.add_task("speaking", total=len(text))
        for piece in reciter.recite(text, manner):
            if not first and len(piece.pcm):
                first = time.perf_counter() - begun
            samples += len(piece.pcm)
            for take in takes:
                take(piece)
            bar.update(task, completed=piece.text_end)
    audio_s, taken_s = samples / SAMPLE_RATE, time.perf_counter() - begun
    return Recital(audio_s, first * 1e3, taken_s / audio_s if samples else 0.0)


@contextmanager
def sound_file(path: Path) -> Iterator[Take]:
    """Write a sound as it comes; the file is there once it is whole, and not at all after a failure."""
    import soundfile

    if path.suffix.lower() not in FORMATS:
        raise AudioError(f"cannot write {path}: its name must end in one of {', '.join(FORMATS)}")
    form, subtype = FORMATS[path.suffix.lower()]
    begun = path.with_name(f".{path.name}.part")
    try:
        with soundfile.SoundFile(begun, "w", SAMPLE_RATE, 1, subtype, format=form) as file:
            yield lambda piece: file.write(piece.pcm.clamp(-1, 1).numpy())
        begun.replace(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"cannot write {path}: {error}") from None
    finally:
        begun.unlink(missing_ok=True)


@contextmanager
def loudspeaker() -> Iterator[Take]:
    """Play a sound as it comes."""
    try:
        import sounddevice
    except (OSError, ImportError) as error:
        raise AudioError(f"no sound card can be used here ({error}); write a file with --out") from None
    try:
        with sounddevice.OutputStream(SAMPLE_RATE, channels=1, dtype="float32") as stream:
            yield lambda piece: stream.write(piece.pcm.clamp(-1, 1).numpy())
    except sounddevice.PortAudioError as error:
        raise AudioError(f"no sound card can be used here ({error}); write a file with --out") from None


def _draw(path: Path, pieces: "list[Piece]") -> None:
    import numpy as np

    from assistant.bench.pictures import draw_mel
    from audiocodec.numbers import N_MELS

    draw_mel(path, np.concatenate([np.zeros((0, N_MELS), np.float32), *(p.mel.numpy() for p in pieces)]))


def _texts(text: str | None, lines: Path | None) -> list[str]:
    if lines is not None:
        if text is not None:
            raise UsageError("give a text or --lines, not both")
        if not lines.is_file():
            raise UsageError(f"{lines} is not a file")
        return [
            line for line in lines.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    if text is None:
        raise UsageError("nothing to say: give a text, - for standard input, or --lines FILE")
    return [sys.stdin.buffer.read().decode("utf-8", errors="replace") if text == "-" else text]


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".vivavoce-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise AudioError(f"cannot write to {folder}: {error.strerror}") from None
