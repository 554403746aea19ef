"""Ten minutes of good and bad clients against a daemon in a process of its own. Linux only."""

import asyncio
import os
import subprocess
import sys

import numpy as np
import pytest

from assistant.bench.sessions import Soak
from assistant.paths import ROOT
from tests.fakes import tone

pytestmark = pytest.mark.slow
MINUTES = 10


def test_soak() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'codecs'}"}
    command = [sys.executable, "-m", "tests.serve_fake"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = f"ws://127.0.0.1:{process.stdout.readline().strip()}/v1/realtime"
        clip = np.asarray(np.frombuffer(tone(1.5), "<i2") / 32_768, np.float32)
        try:
            soak = Soak(url, [clip], 6, MINUTES * 60, process.pid)
            report = asyncio.run(soak.run(lambda text: None))
        finally:
            process.terminate()
    assert report.healthy_failures == 0
    assert report.healthy_answers > MINUTES * 10
    assert report.growth < 0.03
    assert report.floor_growth < 0.03
    assert report.healthy.median_ms <= 2 * report.single.median_ms
