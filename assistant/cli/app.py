"""The ``vivavoce`` command: gathers the verbs and turns errors into one line and an exit code."""

import sys
from collections.abc import Sequence

import click
import typer

from assistant.cli import models
from assistant.errors import AssistantError

VERBS = (models,)


def build() -> typer.Typer:
    """Make the command with all its verbs."""
    app = typer.Typer(
        name="vivavoce",
        help="Viva Voce: talk with an assistant that runs on your own machine.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for verb in VERBS:
        verb.register(app)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 refused with one line on stderr, 2 bad usage."""
    command = typer.main.get_command(build())
    try:
        result = command.main(args=None if argv is None else list(argv), standalone_mode=False)
    except AssistantError as error:
        print(f"vivavoce: {error}", file=sys.stderr)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    return result if isinstance(result, int) else 0
