"""Client libraries that nobody here wrote, unmodified, each in a process of its own against a real daemon.

Each script does a text turn, a spoken turn with the server's voice activity, a barge-in and a tool call.
`tests/clients/install` installs the libraries.
"""

import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.paths import ROOT, cache_dir

pytestmark = pytest.mark.clients
HERE = Path(__file__).resolve().parent
PLACE = cache_dir() / "clients"
PYTHON, MODULES = PLACE / "venv" / "bin" / "python", PLACE / "node" / "node_modules"
LONGEST_S = 90


def serve(*arguments: str) -> Iterator[str]:
    """Run the daemon in a process and give its port."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'codecs'}"}
    command = [sys.executable, "-m", "tests.serve_fake", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    yield from serve()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody but the test trusts."""
    place = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    ssl.create_default_context(cafile=place / "cert.pem")
    return place


@pytest.fixture(scope="module")
def tls_port(certificate: Path) -> Iterator[str]:
    yield from serve("--tls-cert", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem"))


def run(command: list[str], cwd: Path, **environment: str) -> dict[str, Any]:
    """Run a script and read what it saw."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    seen: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return seen


def check(seen: dict[str, Any]) -> None:
    """Whatever the library, these four things happened."""
    assert "You" in seen["audio"]
    assert seen["barge_in"] in {"cancelled", True}
    assert "weather" in seen["tool"]
    assert "rain" in seen["tool_answer"]


@pytest.mark.skipif(not PYTHON.exists(), reason="run tests/clients/install first")
@pytest.mark.parametrize("script", ["openai_client", "agents_client", "livekit_client", "pipecat_client"])
def test_python_client(script: str, port: str) -> None:
    check(run([str(PYTHON), "-W", "ignore", f"{script}.py", port], HERE))


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The Node scripts in a folder from which they find their packages."""
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES)
    return tmp_path


needs_node = pytest.mark.skipif(not MODULES.exists(), reason="run tests/clients/install first; it needs npm")


@needs_node
def test_node_agents(port: str, scripts: Path) -> None:
    check(run(["node", "agents_client.mjs", port], scripts))


@needs_node
def test_node_openai_over_tls(tls_port: str, certificate: Path, scripts: Path) -> None:
    trusted = str(certificate / "cert.pem")
    check(run(["node", "openai_client.mjs", tls_port], scripts, NODE_EXTRA_CA_CERTS=trusted))
