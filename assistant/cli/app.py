"""The ``vivavoce`` command: gathers the verbs and turns errors into one line and an exit code."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, TextIO

import typer

from assistant.errors import AssistantError

# One module each in this package, with register(app); in the order in which help shows them.
VERBS = (
    "serve",
    "talk",
    "chat",
    "ask",
    "say",
    "transcribe",
    "codec",
    "models",
    "devices",
    "config",
    "doctor",
    "token",
    "train",
    "bench",
)
TRACEBACK = "--traceback"
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
# PyTorch's worker threads look for work for a millisecond before they sleep, on the cores that the decode
# step wants; so many looks are a twentieth of that.
TORCH_SPINS = "10000"


def build() -> typer.Typer:
    """Make the command with all its verbs."""
    app = typer.Typer(
        name="vivavoce",
        help="Viva Voce: talk with an assistant that runs on your own machine.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help comes up in half the time
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for verb in VERBS:
        importlib.import_module(f"assistant.cli.{verb}").register(app)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 refused with one line on stderr, 2 bad usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("GOMP_SPINCOUNT", TORCH_SPINS)  # read when torch is imported
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_encode(stream)
    try:
        result = typer.main.get_command(build()).main(arguments, prog_name="vivavoce", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_closed_pipe()
        return 1
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # the edge of the program: whatever is left over becomes one line
        return _explain(error, with_traceback=TRACEBACK in arguments)
    return result if isinstance(result, int) else 0


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=lambda v: _version(v), is_eager=True),
    ] = False,
    with_traceback: Annotated[
        bool, typer.Option(TRACEBACK, help="Show where an unexpected error came from.")
    ] = False,
) -> None:
    """Viva Voce: talk with an assistant that runs on your own machine."""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"vivavoce {version('vivavoce')}")
        except PackageNotFoundError:
            print("vivavoce (not installed)")
        raise typer.Exit


def _explain(error: Exception, *, with_traceback: bool) -> int:
    """Print one line about an error and give the exit code."""
    if with_traceback:
        traceback.print_exception(error)
    if isinstance(error, AssistantError):
        print(f"vivavoce: {error}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "vivavoce"
        print(
            f"vivavoce: {error.format_message()} (`{command} --help` shows what is possible)", file=sys.stderr
        )
        return error.exit_code
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    print(f"vivavoce: unexpected {what} (`vivavoce {TRACEBACK} …` shows where)", file=sys.stderr)
    return 1


def _never_fail_to_encode(stream: TextIO) -> None:
    """A terminal that lacks a character shows an escape instead of ending the program."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")


def _forget_closed_pipe() -> None:
    """The reader has left: point stdout at nothing, so that the interpreter's last flush cannot fail too."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
