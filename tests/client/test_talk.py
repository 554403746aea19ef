"""The native client from file to file, over a real loopback socket, against a stand-in for the daemon."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from assistant.client.captions import Line
from assistant.client.link import Link, LinkLost, address
from assistant.client.talk import Manner, Talk
from assistant.client.wav_rig import WavRig
from assistant.errors import ConfigError
from tests.web.stand_in import ANSWER, StandIn, speech_like


class Notes:
    """A screen that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.states: list[str] = []
        self.latencies: list[float] = []
        self.notices: list[str] = []

    def line(self, line: Line) -> None:
        self.lines[line.id] = line

    def state(self, name: str) -> None:
        if not self.states or self.states[-1] != name:
            self.states.append(name)

    def level(self, rms: float) -> None:
        """Not kept."""

    def latency(self, seconds: float) -> None:
        self.latencies.append(seconds)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def close(self) -> None:
        """Nothing to restore."""

    def text(self, role: str) -> list[str]:
        return [line.text for line in self.lines.values() if line.role == role]


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "question.wav"
    soundfile.write(path, np.frombuffer(speech_like(0.5)[0], "<i2"), 24_000)
    return path


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is true."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("waited in vain")


def make_talk(stand_in: StandIn, screen: Notes, sound: WavRig, token: str | None = None) -> Talk:
    where = address(urlsplit(stand_in.url).netloc.replace("localhost", "127.0.0.1"), token)
    return Talk(
        lambda status: Link(where, status),
        sound,
        screen,
        Manner(leave_when_done=True, quiet_s=0.2, at_most_s=20),
    )


async def test_a_question_in_an_answer_out(question: Path, tmp_path: Path) -> None:
    answer, screen = tmp_path / "answer.wav", Notes()
    with StandIn(answer_s=0.8) as stand_in:
        await make_talk(stand_in, screen, WavRig(question, answer)).run()
        acks = [event["played_ms"] for event in stand_in.of_type("vivavoce.playback.ack")]
    assert screen.text("user") == ["What do you hear in the kitchen?"]
    assert screen.text("assistant") == [ANSWER]
    assert len(screen.latencies) == 1
    assert acks == sorted(set(acks))
    assert acks[-1] == 800
    assert [state for state in screen.states if state in ("hearing", "speaking")] == ["hearing", "speaking"]
    recorded, _ = soundfile.read(answer, dtype="int16")
    expected = np.frombuffer(speech_like(0.8)[0], "<i2")
    first = int(np.flatnonzero(recorded)[0]) - int(np.flatnonzero(expected)[0])
    np.testing.assert_array_equal(recorded[first : first + len(expected)], expected)


async def test_a_lost_connection_loses_and_repeats_nothing(question: Path, tmp_path: Path) -> None:
    answer, screen = tmp_path / "answer.wav", Notes()
    with StandIn(answer_s=2.0) as stand_in:
        talk = asyncio.create_task(make_talk(stand_in, screen, WavRig(question, answer)).run())
        await until(lambda: "speaking" in screen.states)
        stand_in.drop()
        await talk
        assert stand_in.of_type("vivavoce.session.resume")
    assert "reconnecting" in screen.states
    assert screen.text("assistant") == [ANSWER]
    sounding = np.abs(soundfile.read(answer, dtype="int16")[0].astype(int)) > 0
    expected = np.abs(np.frombuffer(speech_like(2.0)[0], "<i2").astype(int)) > 0
    assert sounding.sum() == expected.sum()


async def test_an_interruption_cuts_the_answer(question: Path, tmp_path: Path) -> None:
    answer, screen = tmp_path / "answer.wav", Notes()
    with StandIn(answer_s=6.0) as stand_in:
        talk = make_talk(stand_in, screen, WavRig(question, answer))
        running = asyncio.create_task(talk.run())
        await until(
            lambda: any(line.heard_chars > 5 for line in screen.lines.values() if line.role == "assistant")
        )
        stand_in.interrupt()
        await until(lambda: bool(stand_in.of_type("conversation.item.truncate")))
        talk.leave()
        await running
        [cut] = stand_in.of_type("conversation.item.truncate")
    [line] = [line for line in screen.lines.values() if line.role == "assistant"]
    assert line.interrupted
    assert ANSWER.startswith(line.text)
    sounding = np.flatnonzero(soundfile.read(answer, dtype="int16")[0])
    assert abs((sounding[-1] - sounding[0]) / 24 - cut["audio_end_ms"]) < 250


async def test_a_lost_session_begins_afresh(question: Path) -> None:
    screen = Notes()
    with StandIn(answer_s=0.5) as stand_in:
        talk = asyncio.create_task(make_talk(stand_in, screen, WavRig(question, None)).run())
        await until(lambda: "speaking" in screen.states)
        stand_in.forget()
        stand_in.drop()
        await until(lambda: bool(screen.notices))
        talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)
    assert "begins afresh" in screen.notices[0]


async def test_a_key_is_sent_and_asked_for(question: Path) -> None:
    with StandIn(token="sesame", answer_s=0.3) as stand_in:
        with pytest.raises(ConfigError, match="wants a key"):
            await make_talk(stand_in, Notes(), WavRig(question, None)).run()
        screen = Notes()
        await make_talk(stand_in, screen, WavRig(question, None), "sesame").run()
        assert screen.text("assistant") == [ANSWER]


async def test_where_nobody_listens_it_says_so(question: Path) -> None:
    where = address("127.0.0.1:9")
    talk = Talk(lambda status: Link(where, status), WavRig(question, None), Notes(), Manner())
    with pytest.raises(
        LinkLost, match=r"no daemon answers at ws://127\.0\.0\.1:9/v1/realtime .*vivavoce serve"
    ):
        await talk.run()
