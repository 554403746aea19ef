"""A client that speaks sound files to a daemon at a microphone's pace and notes when what came back."""

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from audiocodec.numbers import SAMPLE_RATE

Audio = NDArray[np.float32]
PACKET_S = 0.02
AUDIBLE = 0.003  # of full scale: 50 dB below it
SPEECH_BELOW_PEAK = 0.02  # the last sample above this share of the peak ends the speech


@dataclass(slots=True)
class Heard:
    """What one spoken clip led to; times in seconds since its last speech sample."""

    first_sound_s: float | None = None  # first audible sample at the client
    text: str = ""
    interrupted_at_s: float | None = None  # an answer began while the clip was still going on
    speech_started: int = 0
    stages_ms: dict[str, int] = field(default_factory=dict)


def speech_end(audio: Audio) -> int:
    """Samples up to and including the last that is speech."""
    loud = np.flatnonzero(np.abs(audio) > SPEECH_BELOW_PEAK * float(np.abs(audio).max()))
    return int(loud[-1]) + 1 if len(loud) else len(audio)


def first_audible(pcm: bytes) -> int | None:
    """Samples before the first that can be heard, or None."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.float32)) > AUDIBLE * 32_768)
    return int(loud[0]) if len(loud) else None


class Speaker:
    """One connection that speaks one clip, then silence until it is answered or patience ends."""

    def __init__(self, socket: ClientConnection, audio: Audio, patience_s: float) -> None:
        self._socket = socket
        end = speech_end(audio)
        quiet = np.zeros(int(patience_s * SAMPLE_RATE), np.float32)
        self._pcm = (np.clip(np.concatenate([audio[:end], quiet]), -1, 1) * 32_767).astype("<i2").tobytes()
        self._end_s = end / SAMPLE_RATE
        self._began = 0.0
        self._done = asyncio.Event()
        self.heard = Heard()

    async def run(self) -> Heard:
        """Speak and listen; returns after the answer's end."""
        self._began = time.monotonic()
        sending = asyncio.create_task(self._send())
        receiving = asyncio.create_task(self._receive())
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            receiving.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
        return self.heard

    async def _send(self) -> None:
        size = 2 * int(PACKET_S * SAMPLE_RATE)
        for number, at in enumerate(range(0, len(self._pcm), size), start=1):
            # A packet leaves when its last sample has been spoken.
            await asyncio.sleep(max(0.0, self._began + number * PACKET_S - time.monotonic()))
            audio = base64.b64encode(self._pcm[at : at + size]).decode("ascii")
            await self._socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    async def _receive(self) -> None:
        async for raw in self._socket:
            event: dict[str, Any] = json.loads(raw)
            since_s = time.monotonic() - self._began - self._end_s
            if self._note(event, since_s):
                return

    def _note(self, event: dict[str, Any], since_s: float) -> bool:
        """Take one event; True when all is said."""
        heard = self.heard
        match event["type"]:
            case "input_audio_buffer.speech_started":
                heard.speech_started += 1
            case "response.created" if since_s < 0 and heard.interrupted_at_s is None:
                heard.interrupted_at_s = since_s
            case "response.output_audio.delta" if heard.first_sound_s is None:
                silent = first_audible(base64.b64decode(event["delta"]))
                if silent is not None:
                    heard.first_sound_s = since_s + silent / SAMPLE_RATE
            case "response.output_audio_transcript.delta":
                heard.text += event["delta"]
            case "vivavoce.timing":
                heard.stages_ms = {
                    key.removesuffix("_ms"): value for key, value in event.items() if key.endswith("_ms")
                }
            case "response.done" if heard.first_sound_s is not None and since_s > 0:
                return True
        return False


async def speak(
    url: str, audio: Audio, *, patience_s: float = 10.0, session: dict[str, Any] | None = None
) -> Heard:
    """Open a connection of its own, speak one clip, and give what came back."""
    async with connect(f"{url}?vivavoce=1", compression=None, max_size=None) as socket:
        if session is not None:
            await socket.send(json.dumps({"type": "session.update", "session": session}))
        try:
            return await Speaker(socket, audio, patience_s).run()
        except ConnectionClosed:
            return Heard()
