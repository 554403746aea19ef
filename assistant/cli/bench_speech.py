"""``vivavoce bench speech``: how the assistant speaks, beside its teacher."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from assistant.bench.speech import Verdict, Voice


def add(group: typer.Typer) -> None:
    """Add the command to the bench group."""
    group.command("speech")(speech)
    group.command("speech-long")(speech_long)


def speech(
    sentences: Annotated[
        Path | None, typer.Option(help="One a line; data/voice/test.txt if not given.")
    ] = None,
    count: Annotated[int, typer.Option(help="Take so many of them, always the same ones.")] = 200,
    style: Annotated[str, typer.Option(help="Style to speak in.")] = "neutral",
    rate: Annotated[float, typer.Option(help="Speaking rate.")] = 1.0,
    others: Annotated[bool, typer.Option(help="Also judge the teacher and Piper.")] = True,
    keep: Annotated[Path | None, typer.Option(help="Folder for the sounds.")] = None,
    voice: Annotated[Path | None, typer.Option(help="Another voice's weight file.")] = None,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Word error, listening quality and speed, on sentences that were never trained on."""
    import torch
    from rich.console import Console
    from rich.progress import track

    from assistant.bench import speech as bench
    from assistant.bench import speech_speed
    from assistant.bench.sentences import read_sentences, sample_of
    from assistant.model.speaking.recital import load_reciter
    from assistant.model.speaking.speaker import Manner
    from assistant.weights import store

    torch.set_num_threads(threads)
    texts = sample_of(read_sentences(sentences), count)
    reciter = load_reciter(voice)
    voices: list[Voice] = [bench.Viva(reciter, Manner(style, rate))]
    if others:
        voices += [bench.Hibari(threads), bench.Joe(store.path("piper-joe"), threads)]
    speed = speech_speed.figures(reciter, texts[:20])  # before the judges' threads are there to wait beside
    judges = bench.all_judges(threads)
    figures: dict[str, dict[str, float]] = {}
    worst: list[Verdict] = []
    for speaker in voices:
        speaker.say("Warm up.")
        folder = keep / speaker.name.split()[0] if keep else None
        judged = bench.judge(speaker, texts, judges, folder)
        verdicts = list(track(judged, speaker.name, total=len(texts), console=Console(stderr=True)))
        figures[speaker.name] = bench.summary(verdicts)
        worst = worst or bench.worst(verdicts, lambda verdict: verdict.scores["DistillMOS"])
        worst += bench.misheard(verdicts) if speaker is voices[0] else []
    figures[voices[0].name] |= speed
    if as_json:
        print(
            json.dumps(
                {"sentences": len(texts), "voices": figures, "worst": [_row(v) for v in worst]},
                ensure_ascii=False,
            )
        )
    else:
        _show(len(texts), figures, worst)


def speech_long(
    minutes: Annotated[float, typer.Option(help="Minutes of sound in one go.", min=2)] = 10.0,
    voice: Annotated[Path | None, typer.Option(help="Another voice's weight file.")] = None,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = 2,
) -> None:
    """Speak for minutes without a break: word error of the first and the last one, and memory."""
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from assistant.bench import speech_long as bench
    from assistant.bench.judges.words import Whisper
    from assistant.bench.sentences import read_sentences
    from assistant.model.speaking.recital import load_reciter
    from assistant.model.speaking.speaker import Manner

    torch.set_num_threads(threads)
    ear = Whisper(threads=threads)
    text = bench.long_text(read_sentences(None), minutes)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("speaking", total=60 * minutes)
        pieces = load_reciter(voice).recite(text, Manner())
        spoken = bench.speak_long(pieces, text, minutes, lambda done: progress.update(task, completed=done))
    print(f"spoken {spoken.spoken_s:.0f} s; memory grew by {spoken.grown_mb:.1f} MB in the second half")
    for name, error in bench.errors(ear, spoken).items():
        print(f"{name}: word error by {ear.name} {error.percent:.1f} % of {error.words} words")


def _row(verdict: "Verdict") -> dict[str, object]:
    errors = {name: error.edits for name, error in verdict.errors.items()}
    return {"text": verdict.text, "heard": verdict.heard, "errors": errors, "scores": verdict.scores}


def _show(count: int, figures: dict[str, dict[str, float]], worst: "list[Verdict]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", *figures, title=f"{count} sentences")
    for name in dict.fromkeys(name for values in figures.values() for name in values):
        table.add_row(name, *(f"{values[name]:.3g}" if name in values else "" for values in figures.values()))
    console = Console(width=110)
    console.print(table)
    for verdict in worst:
        scores = " ".join(f"{name} {value:.2f}" for name, value in verdict.scores.items())
        console.print(
            f"{scores}\n  said:  {verdict.text}\n  heard: {verdict.heard['whisper base']}",
            highlight=False,
            markup=False,
        )
