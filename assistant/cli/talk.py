"""``vivavoce talk``: speak with the assistant through this machine's microphone and loudspeaker."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.errors import UsageError

if TYPE_CHECKING:
    from assistant.client.screen import Screen
    from assistant.client.sound import Sound
    from assistant.client.talk import Manner

TOKEN_VARIABLE = "VIVAVOCE_TOKEN"
ECHO_DELAY_MS = 80  # two sound buffers of 40 ms
KEYS = "m mute · i interrupt · q leave"
HOLD_KEYS = "space talk, space again: done · i interrupt · q leave"


@dataclass(frozen=True, slots=True)
class Places:
    """Where sound, pictures and the daemon are."""

    url: str | None
    token_file: Path | None
    ca_file: Path | None
    device: str | None
    output_device: str | None
    camera: str | None
    wav_in: Path | None
    wav_out: Path | None
    echo: bool


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(talk)


def talk(
    url: Annotated[
        str | None, typer.Option(help="A running daemon; without it, one is started here.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Microphone, by number or name (`devices` lists).")
    ] = None,
    output_device: Annotated[str | None, typer.Option(help="Loudspeaker; else the one of --device.")] = None,
    camera: Annotated[
        str | None, typer.Option(help="Show a camera (its number), a film or a stream.")
    ] = None,
    ptt: Annotated[bool, typer.Option("--ptt", help="Push to talk with the space bar.")] = False,
    echo: Annotated[bool, typer.Option("--echo-cancel", help="Cancel echo (needs the extra aec).")] = False,
    eagerness: Annotated[str, typer.Option(help="How soon to answer: low, auto or high.")] = "auto",
    style: Annotated[str, typer.Option(help="How the voice sounds.")] = "neutral",
    rate: Annotated[float, typer.Option(min=0.25, max=1.5, help="How fast the voice is.")] = 1.0,
    token_file: Annotated[Path | None, typer.Option(help="File with the daemon's key.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificate of a daemon that signed its own.")] = None,
    wav_in: Annotated[Path | None, typer.Option(help="Speak this file instead of a microphone.")] = None,
    wav_out: Annotated[Path | None, typer.Option(help="Write what is played here.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Leave after so many seconds.")] = None,
) -> None:
    """Talk. Ctrl-C leaves. With --wav-in it leaves after the answer."""
    if eagerness not in ("low", "medium", "auto", "high"):
        raise UsageError(f"--eagerness {eagerness!r}: expected low, medium, auto or high")
    from assistant.session.settings import STYLES

    if style not in STYLES:
        raise UsageError(f"--style {style!r}: expected one of {', '.join(STYLES)}")
    if wav_out and not wav_in:
        raise UsageError("--wav-out goes with --wav-in: files stand in for both microphone and loudspeaker")
    from assistant.client.talk import Manner

    manner = Manner(
        push_to_talk=ptt,
        eagerness=eagerness,
        style=style,
        rate=rate,
        echo_cancelled=echo,
        leave_when_done=wav_in is not None,
        at_most_s=seconds if seconds is not None else float("inf"),
    )
    places = Places(url, token_file, ca_file, device, output_device or device, camera, wav_in, wav_out, echo)
    asyncio.run(converse(places, manner))


async def converse(places: Places, manner: "Manner") -> None:
    """Open everything, talk, close everything."""
    from contextlib import AsyncExitStack

    from assistant.client.camera import Camera
    from assistant.client.keys import key_presses
    from assistant.client.link import Link, address
    from assistant.client.local_daemon import local_daemon
    from assistant.client.talk import Talk

    sound = open_sound(places)  # before a daemon is started for nothing
    async with AsyncExitStack() as stack:
        url = places.url
        if url is None:
            print("vivavoce: starting the assistant …", file=sys.stderr)
            url = (await stack.enter_async_context(local_daemon())).url
        where = address(url, read_token(places.token_file), str(places.ca_file) if places.ca_file else None)
        conversation = Talk(
            lambda status: Link(where, status), sound, make_screen(manner.push_to_talk), manner
        )
        if places.camera is not None:
            stack.callback(Camera(places.camera, conversation.saw).close)
        stack.enter_context(key_presses(conversation.pressed))
        await conversation.run()


def open_sound(places: Places) -> "Sound":
    """Files where they were given, else this machine's devices."""
    if places.wav_in is not None:
        from assistant.client.wav_rig import WavRig

        return WavRig(places.wav_in, places.wav_out)
    from assistant.client.devices import choose, sound_devices
    from assistant.client.echo import EchoCanceller
    from assistant.client.soundcard import Soundcard

    devices = sound_devices()
    canceller = EchoCanceller(ECHO_DELAY_MS) if places.echo else None
    microphone = choose(devices, places.device, "input")
    return Soundcard(microphone, choose(devices, places.output_device, "output"), canceller)


def read_token(file: Path | None) -> str | None:
    """The daemon's key: from a file, else from the environment, else none."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: cannot be read: {error}") from error


def make_screen(push_to_talk: bool) -> "Screen":
    """A live picture on a terminal, lines elsewhere."""
    from rich.console import Console

    from assistant.client.screen import LiveScreen, PlainScreen

    if sys.stdout.isatty():
        return LiveScreen(Console(), HOLD_KEYS if push_to_talk else KEYS)
    return PlainScreen(Console(), Console(stderr=True))
