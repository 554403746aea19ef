"""Sound devices of this machine, found by number or by a part of their name."""

from dataclasses import dataclass
from typing import Any

from assistant.errors import UsageError
from assistant.extras import require


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """One device as PortAudio knows it."""

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    sample_rate: int  # Hz, the one that it prefers
    default_input: bool
    default_output: bool


def sound_devices() -> list[SoundDevice]:
    """List the devices. Raises DependencyError without PortAudio."""
    sounddevice = require("sounddevice")
    apis = [api["name"] for api in sounddevice.query_hostapis()]
    default_input, default_output = sounddevice.default.device
    return [
        _device(index, found, apis, (default_input, default_output))
        for index, found in enumerate(sounddevice.query_devices())
    ]


def _device(index: int, found: Any, apis: list[str], defaults: tuple[int, int]) -> SoundDevice:
    return SoundDevice(
        index=index,
        name=found["name"],
        host_api=apis[found["hostapi"]],
        inputs=found["max_input_channels"],
        outputs=found["max_output_channels"],
        sample_rate=round(found["default_samplerate"]),
        default_input=index == defaults[0],
        default_output=index == defaults[1],
    )


def choose(devices: list[SoundDevice], wanted: str | None, kind: str) -> SoundDevice:
    """Find the device that a person means.

    Args:
        devices: all devices of the machine.
        wanted: a number, a name or a part of one; None for the system's own choice.
        kind: ``input`` or ``output``.

    Raises:
        UsageError: there is none, or several fit.
    """
    able = [device for device in devices if (device.inputs if kind == "input" else device.outputs) > 0]
    if not able:
        raise UsageError(f"this machine has no sound {kind}; connect one, or use --wav-in and --wav-out")
    if wanted is None:
        usual = [d for d in able if (d.default_input if kind == "input" else d.default_output)]
        return (usual or able)[0]
    fitting = [device for device in able if _fits(device, wanted)]
    exact = [device for device in fitting if wanted in (device.name, str(device.index))]
    if len(exact or fitting) != 1:
        names = ", ".join(f"{device.index} {device.name}" for device in (fitting or able))
        problem = "several fit" if fitting else "nothing fits"
        raise UsageError(f"--device {wanted!r}: {problem} among the {kind}s: {names}")
    return (exact or fitting)[0]


def _fits(device: SoundDevice, wanted: str) -> bool:
    if wanted.isdigit():
        return device.index == int(wanted)
    return wanted.lower() in device.name.lower()
