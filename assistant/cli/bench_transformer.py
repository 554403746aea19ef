"""``vivavoce bench decode`` and its neighbours: the transformer's speed and exactness."""

import json
import sys
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelName = Annotated[str, typer.Option(help="A model's name or a .gguf file.")]
DEFAULT_MODEL = "smollm2-135m-instruct"


def add(group: typer.Typer) -> None:
    """Add the commands to the group."""
    group.command()(decode)


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
