"""``vivavoce config``: show the settings in force, write a file to start from, tell where it lies."""

import json
import os
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    group = typer.Typer(no_args_is_help=True, help="Settings: show, start a file, tell where it lies.")
    group.command()(show)
    group.command()(init)
    group.command()(path)
    app.add_typer(group, name="config")


def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the settings in force, secrets redacted."""
    from assistant.config import load, shown

    values = shown(load())
    if as_json:
        print(json.dumps(values, indent=2))
        return
    for name, value in _flat(values, ""):
        print(f"{name} = {json.dumps(value)}")


def init(
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a settings file with every default, commented out."""
    from assistant.config import template
    from assistant.errors import ConfigError
    from assistant.paths import config_file

    place = config_file()
    if place.exists() and not force:
        raise ConfigError(f"{place} is there already; --force replaces it")
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(template(), encoding="utf-8")
        unfinished.chmod(0o600)
        os.replace(unfinished, place)
    except OSError as error:
        raise ConfigError(f"cannot write {place}: {error.strerror}") from None
    print(place)


def path() -> None:
    """Print where the settings file lies, or would lie."""
    from assistant.paths import config_file

    print(config_file())


def _flat(values: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return found
