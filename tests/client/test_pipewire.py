"""``vivavoce talk`` with a microphone and a loudspeaker that PipeWire pretends.

Two null sinks stand for the room: what is played into ``question`` comes out of the microphone, and the
loudspeaker is ``speaker``. Both are linked into the two channels of a third one, so that one recording on one
clock has both, and the gap between them can be measured.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.fakes import silence, tone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = (
    "dbus-run-session",
    "pipewire",
    "wireplumber",
    "pipewire-pulse",
    "pactl",
    "paplay",
    "parec",
    "pw-link",
)
ALSA_PLUGIN = "alsa-lib/libasound_module_pcm_pipewire.so"
ROOM = """
pipewire & wireplumber & pipewire-pulse &
until pactl info; do sleep 0.1; done
for sink in question speaker both; do pactl load-module module-null-sink sink_name=$sink; done
pactl load-module module-remap-source master=question.monitor source_name=microphone
pactl set-default-sink speaker
pactl set-default-source microphone
until pw-link question:monitor_FL both:playback_FL; do sleep 0.1; done
until pw-link speaker:monitor_FL both:playback_FR; do sleep 0.1; done
touch $XDG_RUNTIME_DIR/ready
wait
"""
RATE = 24_000
LOUD = 0.02


def missing_parts() -> str:
    """What this machine lacks for the rig, or nothing."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if not any(Path("/usr/lib").glob(f"*/{ALSA_PLUGIN}")):
        lacking.append("pipewire-alsa")
    return f"needs {', '.join(lacking)} (Debian: apt install pipewire pipewire-alsa …)" if lacking else ""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A PipeWire of its own; gives the environment that leads to it."""
    if missing_parts():
        pytest.skip(missing_parts())
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PYTHONPATH": "codecs",
        "OMP_NUM_THREADS": "1",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["dbus-run-session", "--", "bash", "-c", ROOM],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            for _ in range(300):
                if (tmp_path / "ready").exists():
                    break
                time.sleep(0.1)
            else:
                pytest.fail((tmp_path / "log").read_text()[-2_000:])
            yield environment
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_question_by_microphone_is_answered_by_loudspeaker(room: dict[str, str], tmp_path: Path) -> None:
    question, recording = tmp_path / "question.wav", tmp_path / "both.raw"
    soundfile.write(question, np.frombuffer(tone(1.5) + silence(0.2), "<i2"), RATE)
    python = [sys.executable, "-m"]
    quiet = {"cwd": ROOT, "env": room, "text": True}
    with (
        subprocess.Popen([*python, "tests.serve_fake"], stdout=subprocess.PIPE, **quiet) as daemon,
        recording.open("wb") as sink,
        subprocess.Popen(
            ["parec", "--device=both.monitor", "--format=s16le", f"--rate={RATE}", "--channels=2"],
            stdout=sink,
            env=room,
        ) as recorder,
    ):
        try:
            assert daemon.stdout is not None
            port = daemon.stdout.readline().strip()
            command = [*python, "assistant", "talk", "--url", f"127.0.0.1:{port}", "--seconds", "9"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **quiet) as talk:
                time.sleep(3.5)  # the client opens its streams and connects
                subprocess.run(
                    ["paplay", "--device=question", str(question)], env=room, check=True, timeout=20
                )
                said, noted = talk.communicate(timeout=30)
        finally:
            recorder.terminate()
            daemon.terminate()
    assert talk.returncode == 0, noted
    assert "Viva: You said" in said, noted
    both = np.frombuffer(recording.read_bytes(), "<i2").reshape(-1, 2) / 32768
    asked, answered = (np.flatnonzero(np.abs(both[:, channel]) > LOUD) for channel in (0, 1))
    assert len(answered) > RATE // 10, "the answer sounded"
    gap_ms = (answered[0] - asked[-1]) / RATE * 1000
    sys.stderr.write(
        f"\nvoice to voice at the sound devices: {gap_ms:.0f} ms; the client says: {noted.strip()}\n"
    )
    assert 0 < gap_ms < 1_000
