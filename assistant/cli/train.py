"""``vivavoce train``: make training data and train the parts; each area adds its own commands."""

import typer

from assistant.cli import train_hearing, train_voice


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    group = typer.Typer(
        no_args_is_help=True, help="Make training data, train the parts, write their weights."
    )
    train_hearing.add(group)
    train_voice.add(group)
    app.add_typer(group, name="train")
