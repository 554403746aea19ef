"""Training commands of the voice, in the order in which they are run. Each goes on where it was stopped."""

from pathlib import Path
from typing import Annotated

import typer

Steps = Annotated[int, typer.Option(help="Steps of the whole run, those already done included.")]
Run = Annotated[str, typer.Option(help="Name of the run, its folder in runs/.")]
Threads = Annotated[int, typer.Option(help="Processor threads.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


def add(group: typer.Typer) -> None:
    """Add the commands to the train group."""
    group.command("voice-data")(voice_data)
    group.command("vocoder")(vocoder)
    group.command("mel-head")(mel_head)
    group.command("voice-weights")(voice_weights)


def voice_data(
    hours: Annotated[float, typer.Option(help="Hours of speech for the mel head.")] = 10.0,
    vocoder_hours: Annotated[float, typer.Option(help="Hours of speech for the vocoder.")] = 3.0,
    sentences: Annotated[bool, typer.Option("--list", help="Only write the list of test sentences.")] = False,
    threads: Threads = 1,
) -> None:
    """Let the teacher speak: sound, phones, durations, pitch, hidden states; kept in the cache."""
    from assistant.training import voice_recipes

    if sentences:
        voice_recipes.write_test_list()
    else:
        voice_recipes.make_data(hours, vocoder_hours, threads)


def vocoder(
    steps: Steps = 4_000,
    adversarial_from: Annotated[int, typer.Option(help="Step at which the critics join.")] = 2_200,
    run: Run = "vocoder",
    on_head: Annotated[
        str | None, typer.Option(help="Fine-tune on the mel frames that this mel-head run gives.")
    ] = None,
    threads: Threads = 1,
    device: Device = "cpu",
) -> None:
    """Train the vocoder."""
    from assistant.training import voice_recipes

    voice_recipes.train_vocoder(run, steps, adversarial_from, on_head, voice_recipes.Machine(threads, device))


def mel_head(
    steps: Steps = 4_000,
    run: Run = "mel-head",
    pronounce: Annotated[bool, typer.Option(help="Also train the pronouncer, which is done early.")] = True,
    threads: Threads = 1,
    device: Device = "cpu",
) -> None:
    """Train the mel head."""
    from assistant.training import voice_recipes

    voice_recipes.train_mel_head(run, steps, pronounce, voice_recipes.Machine(threads, device))


def voice_weights(
    out: Annotated[Path, typer.Option(help="Where to write the voice.")] = Path(
        "weights/viva-voice.safetensors"
    ),
    head_run: Annotated[str, typer.Option(help="Run that trained the mel head.")] = "mel-head",
    vocoder_run: Annotated[str, typer.Option(help="Run that trained the vocoder.")] = "vocoder",
) -> None:
    """Write the averaged nets of two runs as one voice, in half precision."""
    from assistant.training import voice_recipes

    print(voice_recipes.write_weights(out, head_run, vocoder_run))
