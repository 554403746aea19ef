"""``vivavoce say``: speak a text."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from assistant.model.speaking.recital import Reciter
    from assistant.model.speaking.speaker import Manner

SAMPLE_RATE = 24_000


@dataclass(slots=True)
class Recital:
    """One spoken text and its figures."""

    pcm: "NDArray[np.float32]"
    mel: "NDArray[np.float32]"
    ttfa_ms: float
    rtf: float


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(say)


def say(
    text: Annotated[str | None, typer.Argument(help="What to say; - reads standard input.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a WAV file.")] = None,
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
        spoken = recital(reciter, line, manner)
        if not len(spoken.pcm):
            print(
                f"vivavoce: nothing to say in {line.strip()[:60]!r}: there is no word in it", file=sys.stderr
            )
        if place is not None:
            _write(place, spoken.pcm)
        if mel is not None:
            from assistant.bench.pictures import draw_mel

            draw_mel(mel, spoken.mel)
        figures = {"text": line, "audio_s": round(len(spoken.pcm) / SAMPLE_RATE, 3)}
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
        if play:
            _play(spoken.pcm)


def recital(reciter: "Reciter", text: str, manner: "Manner") -> Recital:
    """Speak a text and measure it; the times include the transformer's reading."""
    import numpy as np

    from audiocodec.numbers import N_MELS

    begun = time.perf_counter()
    first, sound, mels = 0.0, [np.zeros(0, np.float32)], [np.zeros((0, N_MELS), np.float32)]
    for piece in reciter.recite(text, manner):
        if not first and len(piece.pcm):
            first = time.perf_counter() - begun
        sound.append(piece.pcm.clamp(-1, 1).numpy())
        mels.append(piece.mel.numpy())
    taken, pcm = time.perf_counter() - begun, np.concatenate(sound)
    return Recital(
        pcm, np.concatenate(mels), first * 1e3, taken * SAMPLE_RATE / len(pcm) if len(pcm) else 0.0
    )


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


def _write(path: Path, pcm: "NDArray[np.float32]") -> None:
    import soundfile

    try:
        soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"cannot write {path}: {error}") from None


def _play(pcm: "NDArray[np.float32]") -> None:
    try:
        import sounddevice

        sounddevice.play(pcm, SAMPLE_RATE, blocking=True)
    except (OSError, ImportError) as error:
        raise AudioError(f"no sound card can be used here ({error}); write a file with --out") from None
    except sounddevice.PortAudioError as error:
        raise AudioError(f"no sound card can be used here ({error}); write a file with --out") from None
