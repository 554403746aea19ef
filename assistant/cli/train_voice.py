"""Training commands of the voice, in the order in which they are run. Each goes on where it was stopped."""

from pathlib import Path
from typing import Annotated

import typer

Steps = Annotated[int, typer.Option(help="Steps of the whole run, those already done included.")]
Run = Annotated[str, typer.Option(help="Name of the run, its folder in runs/.")]
Threads = Annotated[int, typer.Option(help="Processor threads.")]
Shipped = Annotated[bool, typer.Option("--shipped", help="Begin with the shipped voice.")]
Pace = Annotated[float, typer.Option(help="Factor on the learning rates, under 1 where trained nets go on.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


def add(group: typer.Typer) -> None:
    """Add the commands to the train group."""
    group.command("voice-data")(voice_data)
    group.command("vocoder")(vocoder)
    group.command("mel-head")(mel_head)
    group.command()(finish)
    group.command("voice-weights")(voice_weights)


def voice_data(
    hours: Annotated[float, typer.Option(help="Hours of speech for the mel head.")] = 10.0,
    vocoder_hours: Annotated[float, typer.Option(help="Hours of speech for the vocoder.")] = 3.0,
    sentences: Annotated[bool, typer.Option("--list", help="Only write the list of test sentences.")] = False,
    seed: Annotated[int, typer.Option(help="Another one draws other sentences and ways to say them.")] = 0,
    threads: Threads = 1,
) -> None:
    """Let the teacher speak: sound, phones, durations, pitch, hidden states; kept in the cache."""
    from assistant.training import voice_recipes

    if sentences:
        voice_recipes.write_test_list()
    else:
        voice_recipes.make_data(hours, vocoder_hours, threads, seed)


def vocoder(
    steps: Steps = 4_000,
    adversarial_from: Annotated[int, typer.Option(help="Step at which the critics join.")] = 2_200,
    run: Run = "vocoder",
    threads: Threads = 1,
    device: Device = "cpu",
) -> None:
    """Train the vocoder."""
    from assistant.training import voice_recipes

    voice_recipes.train_vocoder(run, steps, adversarial_from, voice_recipes.Machine(threads, device))


def mel_head(
    steps: Steps = 4_000,
    run: Run = "mel-head",
    pronounce: Annotated[bool, typer.Option(help="Also train the pronouncer, which is done early.")] = True,
    pace: Pace = 1.0,
    shipped: Shipped = False,
    threads: Threads = 1,
    device: Device = "cpu",
) -> None:
    """Train the mel head."""
    from dataclasses import replace

    from assistant.training import voice_recipes
    from assistant.training.train_mel_head import MelHeadPlan

    plan = MelHeadPlan(steps=steps) if pronounce else MelHeadPlan(steps=steps, lexicon_batch=0)
    plan = replace(plan, rate=pace * plan.rate)
    voice_recipes.train_mel_head(run, plan, shipped, voice_recipes.Machine(threads, device))


def finish(
    steps: Steps = 3_000,
    critics_from: Annotated[int | None, typer.Option(help="Step at which critics join, if any.")] = None,
    pace: Pace = 1.0,
    run: Run = "finish",
    shipped: Shipped = False,
    threads: Threads = 1,
) -> None:
    """Train the mel head's frames and the vocoder together, the last part of the voice."""
    from dataclasses import replace

    from assistant.training import voice_recipes
    from assistant.training.train_finish import FinishPlan

    plan = FinishPlan(steps=steps, critics_from=critics_from)
    voice_recipes.train_finish(
        run, replace(plan, rate=pace * plan.rate), shipped, voice_recipes.Machine(threads)
    )


def voice_weights(
    out: Annotated[Path, typer.Option(help="Where to write the voice.")] = Path(
        "weights/viva-voice.safetensors"
    ),
    run: Run = "finish",
    shipped: Shipped = False,
    blend: Annotated[
        float | None, typer.Option(help="Part of the way from the shipped voice (0) to that of the runs (1).")
    ] = None,
) -> None:
    """Write the averaged nets of a finish as one voice, in half precision."""
    from assistant.errors import UsageError
    from assistant.training import voice_recipes

    if blend is not None and not 0 < blend <= 1:
        raise UsageError(f"a blend of {blend:g} is not possible: give a number above 0 and at most 1")
    print(voice_recipes.write_weights(out, run, shipped, blend or 1.0))
