"""Training runs that can be stopped and gone on with: checkpoints, schedules and a progress bar.

A run is a folder with ``run.json`` (the step and what was measured) and the safetensors that it names: the
nets' weights and the optimisers' moments. Every step draws its data and its noise from its own number, so
that a run that was killed and gone on with gives the same losses as one that was not.
"""

import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from assistant.errors import WeightsError

SHOWN_AVERAGE = 0.98  # of the losses that the progress bar shows
LOG_EVERY = 50  # steps


class Trainable(Protocol):
    """What a recipe gives to be trained."""

    def modules(self) -> Mapping[str, nn.Module]:
        """Nets to be kept, by name."""
        ...

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Optimisers to be kept, by name."""
        ...

    def step(self, number: int) -> dict[str, float]:
        """Take one step and give its losses."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a run goes and how often it is kept."""

    steps: int
    save_every_s: float = 180.0
    seed: int = 0


def seed_step(seed: int, step: int) -> random.Random:
    """Seed torch for one step and give Python's generator for its data."""
    torch.manual_seed(seed * 1_000_003 + step)
    return random.Random(f"{seed} {step}")


def cosine(step: int, steps: int, warm_up: int = 200, floor: float = 0.02) -> float:
    """Factor on the learning rate: a short rise, then half a cosine down to ``floor``."""
    if step < warm_up:
        return (step + 1) / warm_up
    part = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * part))


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def follow(average: nn.Module, module: nn.Module, step: int, keep: float = 0.999) -> None:
    """Move a running average of weights towards the weights; faster at the beginning."""
    keep = min(keep, (step + 1) / (step + 10))
    own: list[Tensor] = list(average.parameters())
    other: list[Tensor] = list(module.parameters())
    torch._foreach_lerp_(own, other, 1 - keep)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Flatten an optimiser's moments to named tensors."""
    flat = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            flat[f"{index}.{name}"] = value.clone() if isinstance(value, Tensor) else torch.tensor(value)
    return flat


def restore_optimizer(optimizer: Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def save(folder: Path, trainable: Trainable, step: int, measured: Mapping[str, float]) -> None:
    """Write a checkpoint; the old one is given up only when the new one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    for name, module in trainable.modules().items():
        names[name] = f"{name}-{step}.safetensors"
        save_file(
            {key: value.contiguous() for key, value in module.state_dict().items()}, folder / names[name]
        )
    for name, optimizer in trainable.optimizers().items():
        key = f"{name}-moments"
        names[key] = f"{key}-{step}.safetensors"
        save_file(optimizer_tensors(optimizer), folder / names[key])
    text = json.dumps({"step": step, "files": names, "measured": dict(measured)}, indent=1)
    (folder / "run.json.new").write_text(text)
    (folder / "run.json.new").replace(folder / "run.json")
    for path in folder.glob("*.safetensors"):
        if path.name not in names.values():
            path.unlink()


def restore(folder: Path, trainable: Trainable) -> int:
    """Load the last checkpoint, if there is one, and give the number of steps done."""
    if not (folder / "run.json").exists():
        return 0
    kept = json.loads((folder / "run.json").read_text())
    for name, module in trainable.modules().items():
        if name in kept["files"]:
            module.load_state_dict(load_file(folder / kept["files"][name]))
    for name, optimizer in trainable.optimizers().items():
        key = f"{name}-moments"
        if key in kept["files"]:
            restore_optimizer(optimizer, load_file(folder / kept["files"][key]))
    return int(kept["step"])


def load_module(folder: Path, name: str, module: nn.Module) -> int:
    """Load one net of a run's last checkpoint and give the run's step.

    Raises:
        WeightsError: the run has no such net yet.
    """
    path = folder / "run.json"
    kept = json.loads(path.read_text()) if path.exists() else {"files": {}}
    if name not in kept["files"]:
        raise WeightsError(f"{folder} has no checkpoint of {name}: train it first")
    module.load_state_dict(load_file(folder / kept["files"][name]))
    return int(kept["step"])


def train(folder: Path, trainable: Trainable, plan: Plan) -> dict[str, float]:
    """Go on with a run until its last step; gives the averaged losses of its end.

    A line of figures goes to ``log.jsonl`` every LOG_EVERY steps.
    """
    first = restore(folder, trainable)
    shown: dict[str, float] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    saved = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(folder.name, total=plan.steps, completed=first)
        for step in range(first, plan.steps):
            for name, value in trainable.step(step).items():
                keep = (
                    0.0 if name.startswith("check") else SHOWN_AVERAGE
                )  # checks come seldom and count as they are
                shown[name] = shown.get(name, value) * keep + value * (1 - keep)
            text = " ".join(f"{name} {value:.3f}" for name, value in shown.items())
            progress.update(task, advance=1, description=f"{folder.name} {text}")
            if (step + 1) % LOG_EVERY == 0:
                folder.mkdir(parents=True, exist_ok=True)
                with (folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps({"step": step + 1, "time": time.time(), **shown}) + "\n")
            if time.monotonic() - saved > plan.save_every_s:
                save(folder, trainable, step + 1, shown)
                saved = time.monotonic()
    if first < plan.steps:
        save(folder, trainable, plan.steps, shown)
    return shown
