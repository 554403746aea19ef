"""``vivavoce token``: make, list and revoke the daemon's keys."""

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    group = typer.Typer(
        no_args_is_help=True, help="Keys that clients of the daemon need: make, list, revoke."
    )
    group.command()(create)
    group.command("list")(show)
    group.command()(revoke)
    app.add_typer(group, name="token")


def keys_file() -> Path:
    """Where the digests of the keys lie."""
    from assistant.paths import config_file

    return config_file().with_name("keys")


def create() -> None:
    """Make a key and print it, this once; only its digest is kept."""
    from assistant.server.keys import create as make

    print(make(keys_file()))


def show() -> None:
    """Print the beginning of each key's digest."""
    from assistant.server.keys import read_digests

    for digest in read_digests(keys_file()):
        print(digest[:12])


def revoke(
    key: str = typer.Argument(help="The key, or the beginning of its digest as `list` prints it."),
) -> None:
    """Take a key back; sessions that are open with it stay open."""
    from assistant.errors import ConfigError
    from assistant.server.keys import revoke as take_back

    if not take_back(keys_file(), key):
        raise ConfigError("there is no such key; `vivavoce token list` shows those there are")
