"""Training commands of hearing, in the order in which they are run. Each goes on where it was stopped."""

from typing import Annotated

import typer

Steps = Annotated[int, typer.Option(help="Steps of the whole run.")]
Threads = Annotated[int, typer.Option(help="Processor threads; 0 leaves the choice to PyTorch.")]
Shipped = Annotated[bool, typer.Option("--shipped", help="Begin where the shipped weights ended.")]
Pace = Annotated[float, typer.Option(help="Factor on the learning rates, under 1 where trained nets go on.")]


def add(group: typer.Typer) -> None:
    """Add the commands to the group."""
    group.command("speech-data")(speech_data)
    group.command()(renderer)
    group.command()(words)
    group.command()(encoder)
    group.command()(hear)
    group.command()(codebooks)
    group.command()(manner)
    group.command()(codec)
    group.command()(codec_vocoder)
    group.command()(omni)
    group.command()(turns)
    group.command()(agreement)
    group.command("hearing-weights")(hearing_weights)


def speech_data(
    maker: Annotated[str, typer.Argument(help="kokoro, kokoro-quick, hibari, old, or piper (tests only)")],
    hours: Annotated[float, typer.Option(help="Hours of speech in the corpus.")] = 1.0,
    held_out: Annotated[bool, typer.Option("--held-out", help="The voices and sentences for tests.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Sentences with many words.")] = False,
    choices: Annotated[bool, typer.Option("--choices", help="Voices and sentences for settings.")] = False,
    bursts: Annotated[
        bool, typer.Option("--bursts", help="Short words said while the assistant talks.")
    ] = False,
    begun: Annotated[
        bool, typer.Option("--begun", help="Beginnings of sentences, as before a thinking pause.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another one draws other sentences and voices.")] = 0,
) -> None:
    """Make many-speaker speech with known words, timing and manner, outside the repository."""
    from assistant.errors import UsageError
    from assistant.training.speech_makers import Use, make_speech

    asked = {Use.TESTS: held_out, Use.WIDE: wide, Use.CHOICES: choices, Use.BURSTS: bursts, Use.BEGUN: begun}
    uses = [use for use, wanted in asked.items() if wanted]
    if uses == [Use.WIDE, Use.CHOICES]:
        uses = [Use.WIDE_CHOICES]
    if len(uses) > 1:
        raise UsageError(
            "a corpus has one use: give one of --held-out, --wide, --choices, --bursts, --begun, "
            "or --wide with --choices"
        )
    for made in make_speech(maker, hours, uses[0] if uses else Use.TRAINING, seed):
        print(f"{made:.2f} of {hours:.2f} hours", flush=True)


def renderer(steps: Steps = 1_500, threads: Threads = 0) -> None:
    """Teach the small net that makes Kokoro's voices quick, from the speech that Kokoro has made."""
    from assistant.paths import RUNS
    from assistant.training import speech_makers
    from assistant.training.runs import Plan, train

    set_threads(threads)
    keep_frames()
    train(RUNS / speech_makers.RENDERER_RUN, speech_makers.renderer_recipe(steps), Plan(steps))


def keep_frames() -> None:
    """Keep the frames and the pitch of Kokoro's speech that were not kept before."""
    from rich.console import Console
    from rich.progress import Progress

    from assistant.training.speech_makers import frames_for_renderer

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("frames", total=1)
        for done in frames_for_renderer():
            progress.update(task, completed=done)


def words() -> None:
    """Write the list of words that hearing is taught, with their sounds."""
    from assistant.training.wide_texts import WORDS, package_sentences, write_words

    print(f"{WORDS}: {write_words(package_sentences())} words")


def encoder(
    steps: Steps = 4_000,
    shipped: Shipped = False,
    frozen_layers: Annotated[int, typer.Option(help="Lowest layers that stay as they are; less work.")] = 0,
    batch_s: Annotated[float, typer.Option(help="Seconds of sound in a step.")] = 40.0,
    pace: Pace = 1.0,
    threads: Threads = 0,
) -> None:
    """Teach the encoder the transformer's token space."""
    from dataclasses import replace

    from assistant.paths import RUNS
    from assistant.training.hearing_recipes import ENCODER_RUN, encoder_recipe, read_language
    from assistant.training.runs import Plan, train
    from assistant.training.train_encoder import Pace as Rates

    set_threads(threads)
    usual = Rates(steps=steps, frozen_layers=frozen_layers, batch_s=batch_s)
    chosen = replace(usual, head=pace * usual.head, encoder=pace * usual.encoder)
    train(RUNS / ENCODER_RUN, encoder_recipe(read_language(), chosen, shipped), Plan(steps))


def hear(
    kokoro: Annotated[int, typer.Option(help="Utterances of this corpus.")] = 2_000,
    hibari: Annotated[int, typer.Option(help="Utterances of this corpus.")] = 6_000,
    kokoro_wide: Annotated[int, typer.Option(help="Utterances of this corpus.")] = 0,
    kokoro_quick: Annotated[int, typer.Option(help="Utterances of this corpus.")] = 0,
    begun: Annotated[int, typer.Option(help="Beginnings of sentences by each maker that spoke some.")] = 0,
    shipped: Annotated[bool, typer.Option("--shipped", help="Hear with the shipped encoder.")] = False,
    threads: Threads = 0,
) -> None:
    """Let the encoder hear training speech once and keep its frames."""
    from assistant.training.hearing_recipes import hear as hear_corpora
    from assistant.training.hearing_recipes import read_language
    from assistant.training.speech_makers import BEGUN_CORPORA

    set_threads(threads)
    wanted = {
        "kokoro": kokoro,
        "hibari": hibari,
        "kokoro-wide": kokoro_wide,
        "kokoro-quick": kokoro_quick,
    } | dict.fromkeys(BEGUN_CORPORA, begun)
    utterances = {corpus: count for corpus, count in wanted.items() if count}
    for maker, count in hear_corpora(read_language(), utterances, shipped):
        print(f"{maker}: {count} utterances", flush=True)


def codebooks(
    only: Annotated[str, typer.Option(help="Fit names or prosody alone; the others stay as shipped.")] = "",
    threads: Threads = 0,
) -> None:
    """Fit the codec's codebooks on heard frames."""
    from assistant.training.code_fitting import BOOKS, fit_and_keep

    chosen = tuple(book for book in BOOKS if only in {"", book})
    if not chosen:
        raise typer.BadParameter(f"{only!r} is none of {', '.join(BOOKS)}", param_hint="--only")
    set_threads(threads)
    for name, left in fit_and_keep(chosen).items():
        print(f"{name}: variance left over {', '.join(f'{part:.3f}' for part in left)}")


def manner(steps: Steps = 3_000, shipped: Shipped = False, threads: Threads = 0) -> None:
    """Train the judge of manner and of the end of a turn."""
    from assistant.paths import RUNS
    from assistant.training.hearing_recipes import (
        MANNER_RUN,
        manner_recipe,
        read_language,
        with_codebooks,
    )
    from assistant.training.runs import Plan, train

    set_threads(threads)
    train(RUNS / MANNER_RUN, manner_recipe(with_codebooks(read_language()), steps, shipped), Plan(steps))


def codec(
    steps: Steps = 5_500,
    critic_from: Annotated[int, typer.Option(help="Step at which a critic of spectra joins.")] = 3_300,
    rate: Annotated[float, typer.Option(help="Learning rate at its highest.")] = 1.5e-3,
    shipped: Shipped = False,
    threads: Threads = 0,
) -> None:
    """Train the codec's learned codes: from log mel to codes and back."""
    from assistant.paths import RUNS
    from assistant.training.codec_recipes import CODEC_RUN, codec_recipe
    from assistant.training.hearing_recipes import read_language
    from assistant.training.runs import Plan, train
    from assistant.training.train_codec import Pace as CodecPace

    set_threads(threads)
    pace = CodecPace(steps, rate, critic_from=critic_from)
    train(RUNS / CODEC_RUN, codec_recipe(read_language(), pace, shipped), Plan(steps))


def codec_vocoder(
    steps: Steps = 4_500,
    rate: Annotated[float, typer.Option(help="Learning rate at its highest.")] = 4e-4,
    threads: Threads = 0,
) -> None:
    """Train the codec's vocoder, of many voices, on what the learned codes give back."""
    from assistant.paths import RUNS
    from assistant.training.codec_recipes import VOCODER_RUN, vocoder_recipe
    from assistant.training.hearing_recipes import read_language
    from assistant.training.runs import Plan, train
    from assistant.training.train_vocoder import VocoderPlan

    set_threads(threads)
    keep_frames()
    plan = VocoderPlan(steps, batch=8, rate=rate)
    train(RUNS / VOCODER_RUN, vocoder_recipe(read_language(), plan), Plan(steps))


def omni(
    steps: Steps = 900,
    imagine: Annotated[bool, typer.Option("--imagine", help="Begin without any heard speech.")] = False,
    pace: Pace = 1.0,
    shipped: Shipped = False,
    threads: Threads = 0,
) -> None:
    """Tune the transformer on what is heard and what is typed together."""
    from dataclasses import replace

    from assistant.paths import RUNS
    from assistant.training.hearing_recipes import OMNI_RUN, omni_recipe, read_language
    from assistant.training.runs import Plan, train
    from assistant.training.train_omni import OmniPace

    set_threads(threads)
    usual = OmniPace(steps=steps)
    rates = replace(usual, rate=pace * usual.rate)
    recipe = omni_recipe(read_language(), rates, imagine, shipped)
    train(RUNS / OMNI_RUN, recipe, Plan(steps))


def turns(
    steps: Steps = 1_500,
    imagined: Annotated[int, typer.Option(help="Sentences that are only imagined, not heard.")] = 12_000,
    threads: Threads = 0,
) -> None:
    """Train the judge of whether the words are over, on the shipped transformer and what was heard."""
    from assistant.paths import RUNS
    from assistant.training.hearing_recipes import read_language
    from assistant.training.runs import Plan, train
    from assistant.training.shipped_parts import TURNS_RUN
    from assistant.training.turn_recipes import turn_recipe

    set_threads(threads)
    train(RUNS / TURNS_RUN, turn_recipe(read_language(), steps, imagined), Plan(steps))


def agreement(steps: Steps = 800, threads: Threads = 0) -> None:
    """Train the judge of short sounds while the assistant talks, on the shipped ear."""
    from assistant.paths import RUNS
    from assistant.training.hearing_recipes import read_language
    from assistant.training.runs import Plan, train
    from assistant.training.shipped_parts import AGREEMENT_RUN
    from assistant.training.turn_recipes import agreement_recipe

    set_threads(threads)
    train(RUNS / AGREEMENT_RUN, agreement_recipe(read_language(), steps), Plan(steps))


def hearing_weights(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Write this part, all else stays as shipped: ear (encoder, codebooks, manner), codebooks,"
            " joint, turns, agreement, codec (codebooks, decoder). May be given several times."
        ),
    ] = None,
    blend: Annotated[
        float | None,
        typer.Option(help="Write the encoder alone, so far (0 to 1) from the shipped to the run's."),
    ] = None,
    blend_manner: Annotated[float | None, typer.Option(help="The same for the manner net alone.")] = None,
    trust: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Of the turn head in words and in sound, and bias, in place of what it learned."),
    ] = None,
) -> None:
    """Write the weights of the last runs into the project's weights folder."""
    from assistant.errors import UsageError
    from assistant.training.shipped_parts import write_blend, write_manner_blend, write_parts

    if sum(bool(asked) for asked in (only or trust, blend is not None, blend_manner is not None)) > 1:
        raise UsageError("a blend is of one net alone: give one of --blend, --blend-manner and --only")
    if blend is not None:
        written = write_blend(blend)
    elif blend_manner is not None:
        written = write_manner_blend(blend_manner)
    else:
        written = write_parts(only or [], trust)
    for path in written:
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")


def set_threads(threads: int) -> None:
    """Limit the processor threads where asked to."""
    import torch

    if threads:
        torch.set_num_threads(threads)
