"""What a terminal shows of a conversation: state, level, captions, latency."""

import math
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from assistant.client.captions import Line

NAMES = {"user": "You", "assistant": "Viva"}
COLOURS = {"user": "cyan", "assistant": "bright_red"}
STATES = {
    "connecting": ("○", "dim", "Connecting"),
    "listening": ("●", "cyan", "Listening"),
    "hearing": ("●", "bright_cyan", "Listening"),
    "thinking": ("◌", "magenta", "Thinking"),
    "speaking": ("●", "bright_red", "Speaking"),
    "muted": ("○", "yellow", "Muted"),
    "reconnecting": ("○", "yellow", "Reconnecting"),
}
METER_CELLS = 24
METER_FLOOR_DB = -60.0


class Screen(Protocol):
    """Where the conversation is shown."""

    def line(self, line: Line) -> None:
        """A line is new or changed."""
        ...

    def state(self, name: str) -> None:
        """The conversation's state changed."""
        ...

    def level(self, rms: float) -> None:
        """The microphone's loudness, 0 to 1."""
        ...

    def latency(self, seconds: float) -> None:
        """A turn was measured, voice to voice."""
        ...

    def notice(self, text: str) -> None:
        """Something that the person should know."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


def meter(rms: float) -> Text:
    """A bar for a loudness, in decibels."""
    decibels = 20 * math.log10(max(rms, 1e-6))
    filled = round(METER_CELLS * min(1.0, max(0.0, 1 - decibels / METER_FLOOR_DB)))
    colour = "red" if decibels > -3 else "cyan"
    return Text("▮" * filled, style=colour) + Text("▯" * (METER_CELLS - filled), style="bright_black")


def spoken(line: Line) -> Text:
    """A line of the conversation; what has not been heard yet is dimmed."""
    heard = line.heard_chars if line.role == "assistant" and line.aloud else len(line.text)
    text = Text(f"{NAMES[line.role]:<5}", style=f"bold {COLOURS[line.role]}")
    text.append(line.text[:heard], style="default")
    text.append(line.text[heard:], style="bright_black")
    if not line.text:
        text.append("(spoken)" if line.done else "…", style="bright_black")
    if line.interrupted:
        text.append(" — interrupted", style="yellow")
    if line.latency_s is not None:
        text.append(f"  {line.latency_s * 1000:.0f} ms", style="bright_black")
    return text


class LiveScreen:
    """Redraws in place, for a terminal."""

    def __init__(self, console: Console, keys: str) -> None:
        self._console = console
        self._keys = keys
        self._lines: list[Line] = []
        self._state = "connecting"
        self._level = 0.0
        self._latency: float | None = None
        self._notice = ""
        self._live = Live(self._draw(), console=console, refresh_per_second=12, transient=False)
        self._live.start()

    def line(self, line: Line) -> None:
        """Show a line, new or changed."""
        if line not in self._lines:
            self._lines.append(line)
        self._update()

    def state(self, name: str) -> None:
        """Show the state."""
        self._state = name
        self._update()

    def level(self, rms: float) -> None:
        """Move the meter: up at once, down slowly."""
        self._level = max(rms, 0.8 * self._level)
        self._update()

    def latency(self, seconds: float) -> None:
        """Show how long the last answer took."""
        self._latency = seconds

    def notice(self, text: str) -> None:
        """Show a notice until the next one."""
        self._notice = text
        self._update()

    def close(self) -> None:
        """Draw a last time and leave."""
        self._live.stop()

    def _update(self) -> None:
        self._live.update(self._draw())

    def _draw(self) -> RenderableType:
        sign, colour, word = STATES[self._state]
        head = Table.grid(padding=(0, 2))
        gap = "" if self._latency is None else f"{self._latency * 1000:.0f} ms"
        head.add_row(
            Text(f"{sign} {word:<12}", style=colour), meter(self._level), Text(gap, style="bright_black")
        )
        fitting = max(3, self._console.height - 6)
        parts: list[RenderableType] = [spoken(line) for line in self._lines[-fitting:]]
        foot = Text(self._notice, style="yellow") if self._notice else Text(self._keys, style="bright_black")
        return Group(*parts, Text(""), head, foot)


class PlainScreen:
    """One line for each finished turn, for pipes and logs; notices go to another console."""

    def __init__(self, out: Console, notices: Console) -> None:
        self._out = out
        self._notices = notices
        self._shown: set[str] = set()

    def line(self, line: Line) -> None:
        """Print a line once it is complete and heard."""
        heard = line.role == "user" or not line.aloud or line.heard_chars >= len(line.text)
        if line.done and line.text and heard and line.id not in self._shown:
            self._shown.add(line.id)
            cut = " [interrupted]" if line.interrupted else ""
            self._out.print(
                f"{NAMES[line.role]}: {line.text}{cut}", markup=False, highlight=False, soft_wrap=True
            )

    def state(self, name: str) -> None:
        """States pass too quickly to be printed."""

    def level(self, rms: float) -> None:
        """Levels too."""

    def latency(self, seconds: float) -> None:
        """Print how long an answer took."""
        self._notices.print(f"voice to voice: {seconds * 1000:.0f} ms", markup=False, highlight=False)

    def notice(self, text: str) -> None:
        """Print a notice."""
        self._notices.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing to restore."""
