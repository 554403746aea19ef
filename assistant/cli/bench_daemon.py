"""``vivavoce bench latency``, ``turns`` and ``sessions``: the daemon, through a real websocket; and
``interruptions``: who stops an answer.
"""

import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from assistant.client.local_daemon import RunningDaemon

Url = Annotated[
    str | None, typer.Option(help="A daemon that runs (ws://HOST:PORT/v1/realtime); else one is started.")
]
Count = Annotated[int, typer.Option(min=1, help="Spoken questions.")]
Files = Annotated[list[Path] | None, typer.Option("--file", help="A sound file to speak; may be repeated.")]
Choices = Annotated[bool, typer.Option("--choices", help="By voices on which settings are chosen.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add(group: typer.Typer) -> None:
    """Add the commands to the bench group."""
    group.command()(latency)
    group.command()(turns)
    group.command()(sessions)
    group.command()(interruptions)


@asynccontextmanager
async def daemon(url: str | None, *options: str) -> "AsyncIterator[RunningDaemon]":
    """The daemon to measure."""
    from assistant.client.local_daemon import RunningDaemon, local_daemon

    if url is not None:
        yield RunningDaemon(url)
        return
    async with local_daemon(options) as own:
        yield own


def spoken(files: list[Path] | None, count: int, choices: bool = False) -> list[Any]:
    """The sounds to speak: files, or questions that nothing learns, by voices that nothing learns."""
    if files:
        from assistant.audio_files import read_audio

        return [read_audio(path) for path in files]
    return [clip.audio for clip in asks(count, choices)[:count]]


def asks(count: int, choices: bool) -> list[Any]:
    """Clips of questions, at least so many where there are."""
    from assistant.bench.hearing_sets import asked_of

    clips = asked_of(40 * count, choices)
    return [clip for clip in clips if clip.record is not None and clip.record.kind == "ask"]


def tell(text: object) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def latency(
    url: Url = None,
    count: Count = 60,
    files: Files = None,
    choices: Choices = False,
    chain: Annotated[
        bool, typer.Option(help="Also run the chain of three models that this replaces.")
    ] = True,
    threads: Annotated[int, typer.Option(help="Processor threads of the chain.")] = 2,
    as_json: Json = False,
) -> None:
    """From the last speech sample to the first audible answer sample, split by stage."""
    import asyncio
    from dataclasses import asdict

    from assistant.bench.latency import measure, measure_chain
    from assistant.session.settings import DEFAULT_INSTRUCTIONS

    clips = spoken(files, count, choices)

    async def run() -> Any:
        async with daemon(url) as running:
            return (await measure(running.url, clips, lambda n: tell(f"{n}/{len(clips)}")))[0]

    report = asyncio.run(run())
    if chain:
        measure_chain(report, clips, DEFAULT_INSTRUCTIONS, threads)
    if as_json:
        print(json.dumps(asdict(report)))
        return
    print(f"{report.answered} of {report.clips} answered, {report.interrupted} too early")
    rows = [("voice to voice", report.total), *report.stages.items()]
    rows += [("chain, 500 ms", report.chain_usual), ("chain, our end of turn", report.chain_ours)]
    rows += [(f"chain: {name}", spread) for name, spread in report.chain_parts.items()]
    for name, spread in rows:
        if spread is not None:
            print(f"  {name:24} median {spread.median_ms:6.0f} ms   95 % {spread.p95_ms:6.0f} ms")


def turns(url: Url = None, count: Count = 60, choices: Choices = False, as_json: Json = False) -> None:
    """Thinking pauses of 0.4 to 1.5 s: is the floor taken in them, and are the finished ones answered?"""
    import asyncio
    from dataclasses import asdict

    from assistant.bench.patience import Utterance, measure

    asked = [Utterance(clip.audio, clip.record.word_ends) for clip in asks(count, choices)]
    chosen = [one for one in asked if len(one.word_ends) >= 4][:count]

    async def run() -> Any:
        async with daemon(url) as running:
            return await measure(running.url, chosen, lambda n: tell(f"{n}/{len(chosen)}"))

    report = asyncio.run(run())
    if as_json:
        print(json.dumps(asdict(report)))
        return
    print(f"floor taken in {report.taken} of {report.pauses} pauses")
    print(f"answered {report.answered} of {report.finished} that were let finish")


def sessions(
    url: Url = None,
    number: Annotated[int, typer.Option("--sessions", min=2, help="Clients at once.")] = 6,
    minutes: Annotated[float, typer.Option(help="How long.")] = 20.0,
    pid: Annotated[
        int | None, typer.Option(help="With --url: the daemon's process, to watch its memory.")
    ] = None,
    files: Files = None,
    as_json: Json = False,
) -> None:
    """A soak: healthy clients beside slow, vanished, half-open and cancelling ones."""
    import asyncio
    from dataclasses import asdict

    from assistant.bench.sessions import Soak

    clips = spoken(files, 20)

    async def run() -> Any:
        async with daemon(url, "--max-sessions", str(2 * number)) as running:
            watched = pid or running.pid
            return await Soak(running.url, clips, number, minutes * 60, watched).run(tell)

    report = asyncio.run(run())
    if as_json:
        grown = (report.growth, report.floor_growth) if report.memory_mib else (None, None)
        print(json.dumps({**asdict(report), "growth": grown[0], "floor_growth": grown[1]}))
        return
    print(f"alone: median {report.single.median_ms:.0f} ms")
    print(f"in the crowd: median {report.healthy.median_ms:.0f} ms")
    print(f"healthy answers {report.healthy_answers}, failures {report.healthy_failures}; {report.unhealthy}")
    if report.memory_mib:
        print(f"memory {min(report.memory_mib):.0f} to {max(report.memory_mib):.0f} MiB; last third beside")
        print(f"the middle one: mean {report.growth:+.1%}, least {report.floor_growth:+.1%}")


def interruptions(
    voices: Annotated[int, typer.Option(help="Times that each phrase is said, by voices put aside.")] = 4,
    choices: Choices = False,
    every: Annotated[bool, typer.Option("--all-phrases", help="All phrases that training knows.")] = False,
    examples: Annotated[
        bool, typer.Option("--examples", help="Also show each with how likely it agrees.")
    ] = False,
) -> None:
    """Words of agreement and keys while an answer is heard, and words of somebody who wants the floor."""
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from assistant.bench.interruptions import bare, keyboards, outcome, phrases
    from assistant.model.listening import load_transcriber
    from assistant.training.voices import CHOICES, HELD_OUT, Kokoro, Phonemes
    from assistant.weights import store

    names = CHOICES if choices else HELD_OUT
    maker = Kokoro(store.path("kokoro"), store.path("kokoro-voices"), Phonemes(), names)
    rng, hearing = np.random.default_rng(4), load_transcriber().hearing
    console = Console(stderr=True)
    said = [phrase for phrase in phrases(every) for _ in range(voices)]
    spoken = [(*one, maker.speak(one[1], rng)) for one in track(said, "speaking", console=console)]
    clips = [(kind, text, bare(one.audio)) for kind, text, one in spoken if one is not None]
    clips += keyboards()
    for patient, client in ((True, "holds its loudspeaker"), (False, "cannot hold it")):
        found = [
            (kind, outcome(said, sound, hearing, patient))
            for kind, said, sound in track(clips, client, console=console)
        ]
        for kind in dict.fromkeys(kind for kind, _ in found):
            these = [one for which, one in found if which == kind]
            stopped = [one.stopped_ms for one in these if one.stopped_ms is not None]
            held = [one.held_ms for one in these if one.held_ms is not None]
            silent = held if patient else stopped
            after = f", silent after {np.median(silent):.0f} ms" if silent else ""
            print(f"client {client}: {len(stopped)} of {len(these)} who {kind} stop the answer{after}")
            for one in these if examples and patient else ():
                judged = "not asked" if one.agreement is None else f"{one.agreement:.2f}"
                print(f"    {one.said} | {judged} | {'stops' if one.stopped_ms else 'goes on'}")
