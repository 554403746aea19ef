"""``vivavoce devices``: the microphones and loudspeakers of this machine."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from assistant.client.devices import SoundDevice


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(devices)


def devices(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List microphones and loudspeakers; their number or a part of their name goes to `talk --device`."""
    from assistant.client.devices import sound_devices

    found = sound_devices()
    if as_json:
        print(json.dumps([asdict(device) for device in found], indent=2))
    elif not found:
        print("no sound devices: connect a microphone and a loudspeaker, or talk with --wav-in and --wav-out")
    else:
        for device in found:
            print(line(device))


def line(device: "SoundDevice") -> str:
    """One device as a line; the system's own choices are starred."""
    kinds = []
    if device.inputs:
        kinds.append("microphone" + ("*" if device.default_input else ""))
    if device.outputs:
        kinds.append("loudspeaker" + ("*" if device.default_output else ""))
    return (
        f"{device.index:>3}  {device.name}  ({', '.join(kinds)}; {device.sample_rate} Hz; {device.host_api})"
    )
