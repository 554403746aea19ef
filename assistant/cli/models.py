"""``vivavoce models``: list, pull, verify and find weights."""

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.errors import WeightsError

if TYPE_CHECKING:
    from assistant.weights.manifest import Manifest
    from assistant.weights.store import Store

Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Names = Annotated[list[str] | None, typer.Argument(help="Models; see `vivavoce models list`.")]


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    group = typer.Typer(
        no_args_is_help=True, help="Weights: what is known, what is here, fetch, check, find."
    )
    group.command("list")(list_models)
    group.command()(pull)
    group.command()(verify)
    group.command()(path)
    app.add_typer(group, name="models")


def list_models(as_json: Json = False) -> None:
    """Show every known model with its licence, size and whether it is here."""
    from assistant.weights import manifest
    from assistant.weights.store import State, Store

    store = Store()
    rows = [(model, store.model_state(model)) for model in manifest.load_all()]
    if as_json:
        print(json.dumps([_entry(model, state.value) for model, state in rows], indent=2))
        return
    from rich.console import Console
    from rich.table import Column, Table

    cells = [(m.name, m.role, f"{m.size / 1e6:.1f} MB", state) for m, state in rows]
    widths = [max(len(str(row[i])) for row in cells) for i in range(3)] + [len("unchecked")]
    heads = ("model", "role", "size", "state")
    fixed = [Column(head, no_wrap=True, min_width=width) for head, width in zip(heads, widths, strict=True)]
    console = Console()
    wide = console.width >= sum(widths) + 60  # room for the titles, too
    table = Table(*fixed, "licence", *(["title"] if wide else []), box=None, pad_edge=False)
    colours = {State.VERIFIED: "green", State.UNCHECKED: "yellow", State.DAMAGED: "red", State.MISSING: "dim"}
    for (name, role, size, state), (model, _) in zip(cells, rows, strict=True):
        shown = f"[{colours[state]}]{state.value}[/]"
        licence = re.split("[;(]", model.licence)[0].strip()
        table.add_row(name, role, size, shown, licence, *([model.title] if wide else []))
    console.print(table)


def pull(
    names: Names = None,
    needed: Annotated[bool, typer.Option("--needed", help="Everything the assistant needs.")] = False,
    offline: Offline = False,
) -> None:
    """Fetch models; what is here already is checked and kept, a broken download goes on where it stopped."""
    from assistant.config import load
    from assistant.weights.progress import Terminal
    from assistant.weights.store import Store

    models = _chosen(names, needed)
    with Terminal() as reporter:
        store = Store(reporter=reporter, offline=offline or load().offline)
        for model in models:
            store.pull(model, check=True)
            reporter.note(f"{model.name}: {len(model.files)} file(s), {model.size / 1e6:.1f} MB, verified")


def verify(names: Names = None, as_json: Json = False) -> int:
    """Hash files again; all models that are here when none is named. Exit code 1 when one is not right."""
    from assistant.weights import manifest
    from assistant.weights.store import State, Store

    store = Store()
    models = [manifest.load(name) for name in names] if names else _present(store)
    found = [(model.name, file.name, store.verify(model, file)) for model in models for file in model.files]
    if as_json:
        print(json.dumps([{"model": m, "file": f, "state": s.value} for m, f, s in found], indent=2))
    else:
        for model_name, file_name, state in found:
            print(f"{state.value:9} {model_name}/{file_name}")
    bad = sum(state is not State.VERIFIED for _, _, state in found)
    if bad:
        print(
            f"vivavoce: {bad} of {len(found)} files are not right; `vivavoce models pull` mends",
            file=sys.stderr,
        )
    return 1 if bad else 0


def path(
    name: Annotated[str, typer.Argument(help="Model.")],
    file: Annotated[str | None, typer.Argument(help="One of its files; its folder when left out.")] = None,
) -> None:
    """Print where a model or one of its files lies; never fetches."""
    from assistant.weights import manifest
    from assistant.weights.store import Store

    model = manifest.load(name)
    store = Store(offline=True)
    print(store.file(model, model.file(file)) if file else store.folder(model))


def _chosen(names: list[str] | None, needed: bool) -> "list[Manifest]":
    from assistant.errors import UsageError
    from assistant.weights import manifest

    if not names and not needed:
        raise UsageError("name the models to fetch, or say --needed; `vivavoce models list` shows all")
    chosen = [manifest.load(name) for name in names or ()]
    known = {model.name for model in chosen}
    if needed:
        chosen += [model for model in manifest.load_all() if model.needed and model.name not in known]
    return chosen


def _present(store: "Store") -> "list[Manifest]":
    from assistant.weights import manifest
    from assistant.weights.store import State

    models = [model for model in manifest.load_all() if store.model_state(model) is not State.MISSING]
    if not models:
        raise WeightsError("no model is here yet; `vivavoce models pull --needed` fetches what is needed")
    return models


def _entry(model: "Manifest", state: str) -> dict[str, object]:
    return {
        "name": model.name,
        "title": model.title,
        "role": model.role,
        "licence": model.licence,
        "origin": model.origin,
        "needed": model.needed,
        "size": model.size,
        "state": state,
        "files": [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in model.files],
    }
