"""``vivavoce bench hearing``: what is heard and understood, beside recognisers on the same sound."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from assistant.bench.hearing import Row
    from assistant.model.transcribe import Transcriber

PARTS = (
    "words",
    "frames",
    "wordless",
    "manner",
    "ends",
    "understanding",
    "codec",
    "cost",
    "long",
    "choosing",
    "trust",
)
SETTINGS = ("choosing", "trust")  # not for clips that are put aside


def add(group: typer.Typer) -> None:
    """Add the command to the group."""
    group.command()(hearing)


def hearing(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Any of {', '.join(PARTS)}; by default all but the last two.")
    ] = None,
    count: Annotated[int, typer.Option(help="At most so many clips of each kind.")] = 300,
    choices: Annotated[
        bool, typer.Option("--choices", help="Voices and sentences on which settings are chosen.")
    ] = False,
    minutes: Annotated[float, typer.Option(help="How long the run without a break is.")] = 60.0,
    weights: Annotated[Path | None, typer.Option(help="A folder with other weights of hearing.")] = None,
    examples: Annotated[bool, typer.Option("--examples", help="Also show what was heard.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Measure hearing on voices and sentences that were put aside and on real people."""
    from assistant.errors import UsageError
    from assistant.model.checkpoint import leave_cores
    from assistant.model.listening import load_transcriber

    chosen = parts or [part for part in PARTS if part not in SETTINGS]
    if unknown := [part for part in chosen if part not in PARTS]:
        raise UsageError(f"{unknown[0]!r} is no part of it; known are {', '.join(PARTS)}")
    transcriber = load_transcriber(weights)
    leave_cores(transcriber.decoder)  # as the daemon does
    for row in measured(chosen, transcriber, count, choices, minutes, weights):
        if as_json:
            print(json.dumps(asdict(row), ensure_ascii=False), flush=True)
            continue
        figures = "  ".join(f"{name} {shown(value)}" for name, value in row.figures.items())
        print(f"{row.what} (n={row.count}): {figures}", flush=True)
        for example in row.examples if examples else ():
            print(f"    {example}")


def shown(value: float) -> str:
    """A figure with as many places as tell something: shares and marks of quality are small."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def measured(
    chosen: list[str],
    transcriber: "Transcriber",
    count: int,
    choices: bool,
    minutes: float,
    weights: Path | None,
) -> Iterator["Row"]:
    """Measure part after part; each row comes as soon as it is known."""
    from assistant.bench import hearing as bench
    from assistant.bench.hearing_sets import asked_of, begun_for_choosing, for_choosing
    from assistant.bench.judges.words import Whisper
    from assistant.model.listening import load_turn_head, untuned_transcriber

    clips = (
        asked_of(count, choices)
        if {"words", "frames", "manner", "ends", "understanding"} & set(chosen)
        else []
    )
    if "words" in chosen:
        tiny, base = Whisper("whisper-tiny.en"), Whisper()
        tiny.name = "whisper tiny.en"
        yield from bench.words(transcriber, [tiny, base], clips, 0 if choices else count)
    if "frames" in chosen:
        yield from bench.frames(transcriber, clips, count)
    if "wordless" in chosen:
        yield bench.wordless(transcriber, min(count, 100))
    if "manner" in chosen:
        yield from bench.manner(transcriber, load_turn_head(weights), clips)
    if "ends" in chosen:
        begun = begun_for_choosing(count) if choices else []
        yield bench.ends_followed(transcriber, load_turn_head(weights), clips + begun)
    if "understanding" in chosen:
        yield bench.understanding(transcriber, untuned_transcriber(), Whisper(), clips)
    if "codec" in chosen:
        from assistant.bench.codec import codec_rows

        yield from codec_rows(weights, count)
    if "cost" in chosen:
        yield bench.cost(transcriber)
    if "choosing" in chosen:
        yield from bench.choosing(transcriber, count)
    if "trust" in chosen:
        kept = for_choosing(count)
        unknown = [clip for maker in kept if maker.startswith("kokoro") for clip in kept[maker]]
        settings = unknown + begun_for_choosing(count)
        yield from bench.trust(transcriber, load_turn_head(weights), settings)
    if "long" in chosen:
        yield bench.long_listening(transcriber, minutes)
