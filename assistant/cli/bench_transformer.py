"""``vivavoce bench decode`` and its neighbours: the transformer's speed and exactness."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelName = Annotated[str, typer.Option(help="A model's name or a .gguf file.")]
DEFAULT_MODEL = "smollm2-135m-instruct"


def add(group: typer.Typer) -> None:
    """Add the commands to the group."""
    group.command()(decode)
    group.command()(exactness)
    group.command()(kernels)
    group.command()(long)


def decode(
    model: ModelName = DEFAULT_MODEL,
    tokens: Annotated[int, typer.Option(min=8, help="Tokens per round.")] = 48,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the best counts.")] = 3,
    as_json: Json = False,
) -> None:
    """Decode speed of one and of eight sessions, beside transformers, llama.cpp and the memory limit."""
    from dataclasses import asdict

    from assistant.bench.decode import BATCH, Setup, measure_decode, processor
    from assistant.cli.chat import find_weights

    report = measure_decode(find_weights(model), Setup(tokens, rounds))
    if as_json:
        print(json.dumps({**asdict(report), "memory_ratio": report.memory_ratio, "processor": processor()}))
        return
    print(processor())
    single, batch = report.of("int8 x 1") or 0.0, report.of(f"int8 x {BATCH}") or 0.0
    for speed in report.speeds:
        print(f"  {speed.name:20} {speed.tokens_per_s:8.1f} tokens/s   {speed.tokens_per_s / single:5.2f} x")
    print(f"  memory: {report.step_mb:.0f} MB of weights per step, read at {report.read_gb_per_s:.1f} GB/s:")
    print(
        f"  a step takes {report.memory_ratio:.2f} times what reading its weights takes (at most 1.8 wanted)"
    )
    reference = report.of("transformers bf16")
    if reference:
        print(f"  one session: {single / reference:.1f} times transformers (3 wanted)")
    print(f"  batch of {BATCH}: {batch / single:.1f} times one session (4 wanted)")
    for line in report.missing:
        print(f"vivavoce: not measured: {line}", file=sys.stderr)


def exactness(model: ModelName = DEFAULT_MODEL, as_json: Json = False) -> None:
    """Greedy text and perplexity of int8 against float32 of the same file."""
    from dataclasses import asdict

    from assistant.bench.exactness import dialogue_turns, measure_exactness
    from assistant.cli.chat import find_weights
    from assistant.paths import ROOT

    report = measure_exactness(find_weights(model), dialogue_turns(ROOT / "data" / "dialogues"))
    if as_json:
        print(json.dumps({**asdict(report), "perplexity_change": report.perplexity_change}))
        return
    print(f"{report.prompts} prompts, greedy, first {report.tokens} tokens of int8 against float32:")
    print(f"  {100 * report.identical:.1f} % of the tokens are the same (90 % wanted)")
    print(f"  {report.same_answers} answers are the same throughout")
    print(f"perplexity: float32 {report.float_perplexity:.3f}, int8 {report.int8_perplexity:.3f}", end="")
    print(f" ({100 * report.perplexity_change:+.2f} %, at most 1 % wanted)")


def kernels(as_json: Json = False) -> None:
    """Speed of the GPU's attention kernel beside PyTorch's and the memory limit; needs a CUDA GPU."""
    from dataclasses import asdict

    from assistant.bench.kernels import measure_kernels
    from assistant.model.kv_cache import CacheShape

    rows = measure_kernels(CacheShape())
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print("sessions  ring us  SDPA us  Flex us  limit us")
    for row in rows:
        print(
            f"{row.sessions:8} {row.ring_us:8.1f} {row.sdpa_us:8.1f} {row.flex_us:8.1f} {row.limit_us:9.1f}"
        )


def long(
    model: ModelName = DEFAULT_MODEL,
    positions: Annotated[int, typer.Option(min=2_000, help="Length of the text in tokens.")] = 50_000,
    window: Annotated[int, typer.Option(min=16, help="Positions that are seen.")] = 1_024,
    plot: Annotated[Path | None, typer.Option(help="Draw both curves into this PNG file.")] = None,
) -> None:
    """Perplexity along a text far longer than the window, with and without attention sinks."""
    from assistant.bench.exactness import dialogue_turns
    from assistant.bench.long import measure_long, plot_long
    from assistant.cli.chat import find_weights
    from assistant.model.kv_cache import CacheShape
    from assistant.paths import ROOT

    report = measure_long(
        find_weights(model),
        dialogue_turns(ROOT / "data" / "dialogues"),
        positions,
        CacheShape(window=window),
        lambda at: print(f"\r{at:,} positions", end="", file=sys.stderr, flush=True),
    )
    print(file=sys.stderr)
    if plot is not None:
        plot_long(report, plot)
    print(f"{positions:,} positions, window {window:,}, perplexity of the last 1,000 tokens:")
    print(f"  fresh cache of the same window: {report.fresh:.2f}")
    print(f"  with sinks:    {report.with_sinks[-1]:.2f} ({100 * report.change:+.1f} %, at most 3 % wanted)")
    print(f"  without sinks: {report.without_sinks[-1]:.2f}")
    print(
        f"  cache: {report.cache_bytes[0]:,} bytes at the start, {report.cache_bytes[1]:,} at the end;",
        end="",
    )
    print(f" the process grew by {report.peak_memory_growth_mb:.0f} MB after the second thousand")
