"""How a download tells the person at the terminal how far it is; standard error only."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class Reporter(Protocol):
    """Hears about a download."""

    def start(self, what: str, done: int, total: int | None) -> None:
        """Begin (or begin again) with ``what``, of which ``done`` of ``total`` bytes are here already."""
        ...

    def advance(self, amount: int) -> None:
        """``amount`` more bytes are here."""
        ...

    def note(self, text: str) -> None:
        """Say something that is worth a line of its own."""
        ...


class Silent:
    """Says nothing."""

    def start(self, what: str, done: int, total: int | None) -> None:
        """Say nothing."""

    def advance(self, amount: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


class Terminal:
    """A progress bar on a terminal, single lines elsewhere. Use it as a context manager."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, what: str, done: int, total: int | None) -> None:
        """Begin a bar, or print one line."""
        if not sys.stderr.isatty():
            size = f" ({total / 1e6:.0f} MB)" if total else ""
            resumed = f", going on from {done / 1e6:.0f} MB" if done else ""
            self.note(f"fetching {what}{size}{resumed}")
            return
        if self._bar is None:
            self._bar = _rich_bar()
            self._bar.start()
        self._bar.add_task(what, total=total, completed=done)

    def advance(self, amount: int) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[-1], amount)

    def note(self, text: str) -> None:
        """Print one line."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201  progress belongs on standard error


def _rich_bar() -> "RichProgress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))
