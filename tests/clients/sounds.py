"""Sound for the clients to send: a buzz that counts as a voice. Plain Python, for any environment."""

import math
import struct

RATE = 24_000


def tone(seconds: float, hz: float) -> bytes:
    """A buzz with twenty overtones, int16 at 24 kHz."""
    steps = [2 * math.pi * hz * n / RATE for n in range(int(seconds * RATE))]
    return struct.pack(
        f"<{len(steps)}h", *(int(1_500 * sum(math.sin(k * step) for k in range(1, 21))) for step in steps)
    )


def silence(seconds: float) -> bytes:
    """Silence, int16 at 24 kHz."""
    return bytes(2 * int(seconds * RATE))


def packets(pcm: bytes, size: int = 4_800) -> list[bytes]:
    """Cut into packets of 100 ms."""
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]
