"""Devices, addresses, screens, cameras and files of the native client."""

import io
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from rich.console import Console

from assistant.cli.devices import line as device_line
from assistant.client.camera import Camera, fitted
from assistant.client.captions import Line
from assistant.client.devices import SoundDevice, choose
from assistant.client.link import address, wait_before
from assistant.client.playout import Playout
from assistant.client.screen import LiveScreen, PlainScreen, meter, spoken
from assistant.client.wav_rig import WavRig, read_question
from assistant.errors import AudioError, UsageError

DEVICES = [
    SoundDevice(0, "Built-in", "ALSA", 1, 2, 44_100, False, True),
    SoundDevice(1, "USB headset", "ALSA", 1, 2, 48_000, True, False),
    SoundDevice(2, "USB headset pro", "ALSA", 1, 0, 48_000, False, False),
]


def test_devices_are_found_by_number_name_and_part_of_it() -> None:
    assert choose(DEVICES, None, "input").index == 1
    assert choose(DEVICES, None, "output").index == 0
    assert choose(DEVICES, "0", "input").index == 0
    assert choose(DEVICES, "built", "output").index == 0
    assert choose(DEVICES, "USB headset", "input").index == 1
    with pytest.raises(UsageError, match="several fit among the inputs: 1 USB headset, 2 USB headset pro"):
        choose(DEVICES, "usb", "input")
    with pytest.raises(UsageError, match="nothing fits among the outputs"):
        choose(DEVICES, "2", "output")
    with pytest.raises(UsageError, match="no sound input"):
        choose([], None, "input")
    assert device_line(DEVICES[1]) == "  1  USB headset  (microphone*, loudspeaker; 48000 Hz; ALSA)"


def test_addresses_are_completed() -> None:
    assert address("localhost:8765").url == "ws://localhost:8765/v1/realtime"
    assert address("http://h:1/").with_query("vivavoce=1") == "ws://h:1/v1/realtime?vivavoce=1"
    secure = address("https://h/v1/realtime", "key")
    assert (secure.url, secure.token, secure.tls is not None) == ("wss://h/v1/realtime", "key", True)
    for wrong in ("ftp://h", "ws://", "://"):
        with pytest.raises(UsageError, match="no address of a daemon"):
            address(wrong)


def test_waits_grow_and_stay_under_8_s() -> None:
    assert [wait_before(attempt, 1.0) for attempt in (0, 1, 2, 9)] == [0.25, 0.5, 1.0, 8.0]


def test_the_meter_shows_decibels() -> None:
    assert meter(0.0).plain.count("▮") == 0
    assert meter(0.0316).plain.count("▮") == 12
    assert meter(1.0).plain.count("▮") == 24


def test_a_line_shows_what_is_still_to_be_heard() -> None:
    line = Line("a", "assistant", "Good morning", aloud=True, heard_chars=4, latency_s=0.25)
    assert spoken(line).plain == "Viva Good morning  250 ms"
    assert spoken(Line("u", "user")).plain == "You  …"


def test_a_pipe_gets_each_finished_line_once() -> None:
    out, notices = io.StringIO(), io.StringIO()
    screen = PlainScreen(Console(file=out), Console(file=notices))
    line = Line("a", "assistant", "Good [bold]morning", aloud=True)
    screen.line(line)
    line.done, line.heard_chars = True, len(line.text)
    screen.line(line)
    screen.line(line)
    screen.latency(0.2504)
    assert out.getvalue() == "Viva: Good [bold]morning\n"
    assert notices.getvalue() == "voice to voice: 250 ms\n"


def test_a_terminal_shows_state_meter_and_lines() -> None:
    file = io.StringIO()
    screen = LiveScreen(Console(file=file, force_terminal=True, width=80, height=24), "q leave")
    screen.line(Line("u", "user", "Hello", done=True))
    screen.state("speaking")
    screen.level(0.1)
    screen.latency(0.3)
    screen.notice("Careful")
    screen.close()
    for words in ("Hello", "Speaking", "▮", "300 ms", "Careful"):
        assert words in file.getvalue()


def test_a_film_is_seen_in_small_pictures(tmp_path: Path) -> None:
    film = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(film, cv2.VideoWriter.fourcc(*"MJPG"), 100.0, (640, 480))
    for _ in range(20):
        writer.write(np.full((480, 640, 3), (0, 0, 255), np.uint8))
    writer.release()
    seen: list[str] = []
    first = threading.Event()
    camera = Camera(film, lambda picture: (seen.append(picture), first.set())[0])
    assert first.wait(10)
    camera.close()
    assert seen[0].startswith("data:image/jpeg;base64,")
    assert fitted(640, 480) == (448, 336)
    assert fitted(100, 50) == (100, 50)
    with pytest.raises(UsageError, match="--camera /nowhere"):
        Camera("/nowhere.avi", seen.append)


def test_a_question_may_have_any_rate_and_channels(tmp_path: Path) -> None:
    path = tmp_path / "q.wav"
    soundfile.write(path, np.full((44_100, 2), 0.5), 44_100)
    pcm = np.frombuffer(read_question(path), "<i2")
    assert len(pcm) == 24_000
    assert abs(int(pcm[12_000]) - 16_384) < 50
    path.write_bytes(b"no sound")
    with pytest.raises(AudioError, match=r"cannot read .*q\.wav"):
        read_question(path)


def test_the_rig_plays_and_records_on_one_time_line(tmp_path: Path) -> None:
    question, answer = tmp_path / "q.wav", tmp_path / "a.wav"
    soundfile.write(question, np.full(2_400, 0.25), 24_000)
    rig, playout, packets = WavRig(question, answer), Playout(), []
    enough = threading.Event()

    def hear(packet: object) -> None:
        packets.append(packet)
        if len(packets) == 10:
            enough.set()

    playout.push("a", 0, np.full(2_400, 8_000, "<i2").tobytes())
    playout.end("a")
    rig.start(playout, hear, lambda news: None)
    assert enough.wait(10)
    rig.close()
    assert rig.exhausted
    loud = [bool(any(packet.pcm)) for packet in packets[:10]]  # type: ignore[attr-defined]  # Recorded
    assert loud == [True] * 5 + [False] * 5
    recorded, rate = soundfile.read(answer, dtype="int16")
    assert rate == 24_000
    assert set(recorded[:2_400]) == {8_000}
    assert not recorded[2_400:].any()
