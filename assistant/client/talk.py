"""Joins microphone, loudspeaker, camera, keys, screen and connection into one conversation."""

import asyncio
import base64
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np

from assistant.client import conversation as effects
from assistant.client.conversation import Conversation, Effect, Event
from assistant.client.link import Link
from assistant.client.playout import Playout
from assistant.client.screen import Screen
from assistant.client.sound import Played, Recorded, Sound
from assistant.client.timing import AckScheduler, InputClock, VoiceToVoice
from audiocodec.numbers import SAMPLE_RATE

KEPT_PACKETS = 150  # of microphone while the connection is away: 3 s
WATCH_EVERY_S = 0.25
LATE_ERRORS = {"response_cancel_not_active", "input_audio_buffer_commit_empty"}  # lost races, nobody's fault


@dataclass(frozen=True, slots=True)
class Manner:
    """How a conversation is led."""

    push_to_talk: bool = False
    eagerness: str = "auto"
    style: str = "neutral"
    rate: float = 1.0
    echo_cancelled: bool = False
    instructions: str | None = None
    leave_when_done: bool = False  # after the answer to the last recorded sound
    quiet_s: float = 1.5  # of silence that count as being done
    at_most_s: float = math.inf


def session_update(manner: Manner) -> Event:
    """The session's settings for a manner."""
    detection = None if manner.push_to_talk else {"type": "semantic_vad", "eagerness": manner.eagerness}
    session: Event = {
        "type": "realtime",
        "audio": {
            "input": {"transcription": {}, "turn_detection": detection},
            "output": {"speed": manner.rate},
        },
        "vivavoce": {"echo_cancelled": manner.echo_cancelled, "mel": False, "style": manner.style},
    }
    if manner.instructions is not None:
        session["instructions"] = manner.instructions
    return {"type": "session.update", "session": session}


class Talk:
    """One conversation. Everything runs on one event loop; sound threads only hand packets over."""

    def __init__(
        self, make_link: Callable[[Callable[[str], None]], Link], sound: Sound, screen: Screen, manner: Manner
    ) -> None:
        self._link = make_link(self._linked)
        self._sound = sound
        self._screen = screen
        self._manner = manner
        self._conversation = Conversation()
        self._playout = Playout()
        self._clock = InputClock()
        self._voice = VoiceToVoice()
        self._acks = AckScheduler()
        self._kept: deque[Recorded] = deque(maxlen=KEPT_PACKETS)
        self._outgoing: asyncio.Queue[Event] = asyncio.Queue()
        self._done = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._quiet_since_s: float | None = None
        self._holding = False
        self._muted = False
        self._answered = 0

    async def run(self) -> None:
        """Talk until the person leaves or the session ends. Raises what ``Link.events`` raises."""
        self._sound.start(self._playout, self._on_loop(self._heard), self._on_loop(self._played))
        jobs = [self._listen_to_daemon(), self._send(), self._watch()]
        try:
            await _first_to_end([*jobs, self._wait_for_leave()])
        finally:
            self._sound.close()
            await self._link.close()
            self._screen.close()

    def leave(self) -> None:
        """End the conversation."""
        self._done.set()

    def pressed(self, key: str) -> None:
        """A key: space or Enter talks (push-to-talk), m mutes, Escape or i interrupts, q leaves."""
        if key in " \n\r" and self._manner.push_to_talk:
            self._release() if self._holding else self._hold()
        elif key == "m":
            self._muted = not self._muted
        elif key in "\x1bi":
            self._carry_out(self._conversation.stop())
        elif key == "q":
            self.leave()
        self._show_state()

    def saw(self, picture: str) -> None:
        """A camera's picture as a data URL; may be called from any thread. Left out while others wait."""
        self._loop.call_soon_threadsafe(self._see, picture)

    def _on_loop(self, handle: Callable[[Any], None]) -> Callable[[Any], None]:
        def hand_over(value: Any) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(handle, value)

        return hand_over

    async def _listen_to_daemon(self) -> None:
        async for event in self._link.events():
            if event["type"] == "response.created":
                self._answered += 1
            self._carry_out(self._conversation.receive(event))
            self._show_state()

    async def _send(self) -> None:
        while True:
            await self._link.send(await self._outgoing.get())

    async def _wait_for_leave(self) -> None:
        await self._done.wait()

    async def _watch(self) -> None:
        began_s = time.monotonic()
        while time.monotonic() - began_s < self._manner.at_most_s:
            await asyncio.sleep(WATCH_EVERY_S)
            trouble = self._sound.revive()
            if trouble:
                self._screen.notice(trouble)
            if self._manner.leave_when_done and self._is_done():
                return

    def _is_done(self) -> bool:
        busy = self._conversation.state != "listening" or self._conversation.playing is not None
        if busy or not self._sound.exhausted or not self._answered:
            self._quiet_since_s = None
            return False
        now_s = time.monotonic()
        self._quiet_since_s = self._quiet_since_s or now_s
        return now_s - self._quiet_since_s > self._manner.quiet_s

    def _linked(self, status: str) -> None:
        if status in ("open", "renewed"):
            self._outgoing.put_nowait(session_update(self._manner))
        if status == "renewed":
            self._clock = InputClock()
            self._carry_out(self._conversation.restarted())
            self._screen.notice("The connection was away for too long: Viva begins afresh.")
        self._show_state()

    def _show_state(self) -> None:
        state = self._conversation.state
        if not self._link.is_open:
            state = "reconnecting" if self._clock.sent else "connecting"
        elif self._muted and state == "listening":
            state = "muted"
        self._screen.state(state)

    def _heard(self, packet: Recorded) -> None:
        samples = np.frombuffer(packet.pcm, "<i2").astype(np.float32) / 32768
        self._screen.level(0.0 if self._muted else float(np.sqrt((samples**2).mean())))
        if self._manner.push_to_talk and not self._holding:
            return
        if self._muted:
            packet = Recorded(bytes(len(packet.pcm)), packet.time_s)
        self._kept.append(packet)
        if not self._link.is_open:
            return
        while self._kept:
            kept = self._kept.popleft()
            audio = base64.b64encode(kept.pcm).decode()
            self._outgoing.put_nowait({"type": "input_audio_buffer.append", "audio": audio})
            self._clock.mark(len(kept.pcm) // 2, kept.time_s)

    def _see(self, picture: str) -> None:
        if self._link.is_open and self._outgoing.qsize() < KEPT_PACKETS:
            frames = {"frames": [picture]}
            self._outgoing.put_nowait({"type": "input_audio_buffer.append", "audio": "", "vivavoce": frames})

    def _hold(self) -> None:
        self._holding = True
        self._carry_out(self._conversation.stop())
        self._conversation.state = "hearing"

    def _release(self) -> None:
        self._holding = False
        self._voice.stopped(time.monotonic())
        self._conversation.state = "thinking"
        for kind in ("input_audio_buffer.commit", "response.create"):
            self._outgoing.put_nowait({"type": kind})

    def _played(self, news: Played) -> None:
        answer, played = news.position.answer, news.position.played
        response = self._conversation.response_of(answer)
        line = self._conversation.captions.get(answer)
        if response is None or line is None or line.interrupted:
            return
        if news.kind == "started":
            self._conversation.started()
            line.latency_s = self._voice.played(news.time_s)
            if line.latency_s is not None:
                self._screen.latency(line.latency_s)
        last = news.kind == "finished"
        self._carry_out(
            self._conversation.finished(answer) if last else self._conversation.moved(answer, played)
        )
        if self._acks.due(answer, played, last):
            place = {"response_id": response, "item_id": answer, "played_ms": played * 1000 // SAMPLE_RATE}
            self._outgoing.put_nowait({"type": "vivavoce.playback.ack", **place})
        self._show_state()

    def _carry_out(self, what: list[Effect]) -> None:
        for effect in what:
            match effect:
                case effects.Play(answer, start, pcm):
                    self._playout.push(answer, start, pcm)
                case effects.End(answer):
                    self._playout.end(answer)
                case effects.Pause(on):
                    self._playout.pause(on)
                case effects.Flush(answer):
                    cut = self._playout.flush()
                    played = cut.played if cut and cut.answer == answer else 0
                    self._carry_out(self._conversation.cut_off(answer, played))
                case effects.Send(event):
                    self._outgoing.put_nowait(event)
                case effects.Show(line):
                    self._screen.line(line)
                case effects.Stopped(audio_end_ms):
                    self._voice.stopped(self._clock.time_of(audio_end_ms * SAMPLE_RATE // 1000))
                case effects.Problem(code, message):
                    if code not in LATE_ERRORS:
                        self._screen.notice(message)


async def _first_to_end(jobs: list[Coroutine[Any, Any, None]]) -> None:
    """Run jobs until the first ends, then cancel the others; raises what it raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
