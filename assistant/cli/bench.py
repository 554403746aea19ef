"""``vivavoce bench``: measure the assistant; each area adds its own commands."""

import typer

from assistant.cli import bench_daemon, bench_hearing, bench_speech, bench_transformer


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    group = typer.Typer(no_args_is_help=True, help="Measure the assistant beside what it is compared with.")
    group.callback()(_group)
    bench_transformer.add(group)
    bench_speech.add(group)
    bench_hearing.add(group)
    bench_daemon.add(group)
    app.add_typer(group, name="bench")


def _group() -> None:
    """Keep the group a group while it has one command."""
