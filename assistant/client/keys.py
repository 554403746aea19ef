"""Single key presses of a terminal, without Enter; none where there is no terminal."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def key_presses(pressed: Callable[[str], None]) -> Iterator[bool]:
    """Call ``pressed`` with each key on the event loop; yields whether this terminal can do so."""
    if not sys.stdin.isatty() or sys.platform == "win32":
        yield False
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, lambda: _read(descriptor, pressed))
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read(descriptor: int, pressed: Callable[[str], None]) -> None:
    for key in os.read(descriptor, 64).decode(errors="ignore"):
        pressed(key)
