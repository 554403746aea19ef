"""``vivavoce models`` as a person types it."""

import json
import os
import socket
from pathlib import Path

import pytest

from assistant.weights import manifest
from tests.cli.conftest import Run

UNREACHABLE = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "http://127.0.0.1:9/more",
    "PIP_CONFIG_FILE": os.devnull,
}


def test_list_json_tells_all(run: Run) -> None:
    listed = json.loads(run("models", "list", "--json").stdout)
    assert [model["name"] for model in listed] == manifest.names()
    assert {"licence", "size", "state", "files"} <= listed[0].keys()
    assert all(model["state"] == "missing" for model in listed if model["role"] == "judge")


def test_path_never_fetches(run: Run) -> None:
    done = run("models", "path", "silero-vad")
    assert (done.returncode, done.stdout) == (1, "")
    assert "silero-vad.onnx" in done.stderr
    assert done.stderr.count("\n") == 1


def test_offline_pull_refuses(run: Run) -> None:
    done = run("models", "pull", "silero-vad", "--offline")
    assert done.returncode == 1
    assert "fetching is off" in done.stderr


def test_pull_asks_the_index_that_pip_is_configured_with(run: Run, tmp_path: Path) -> None:
    done = run("models", "pull", "silero-vad", **UNREACHABLE)
    assert done.returncode == 1
    assert "no connection" in done.stderr
    assert done.stderr.count("\n") == 1
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != ".lock"]
    assert left == []


def test_verify_with_nothing_here(run: Run) -> None:
    done = run("models", "verify", "silero-vad")
    assert done.returncode == 1
    assert done.stdout.startswith("missing")


def test_cache_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("models", "pull", "silero-vad", VIVAVOCE_CACHE=str(tmp_path / "file" / "cache"))
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def taken_port() -> "socket.socket":
    return socket.create_server(("127.0.0.1", 0))


def test_doctor_reports_as_json_and_fails_without_weights(run: Run, taken_port: socket.socket) -> None:
    with taken_port:
        port = str(taken_port.getsockname()[1])
        done = run("doctor", "--json", VIVAVOCE_SERVER__PORT=port)
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 1
    assert checks["torch"]["state"] == "ok"
    assert checks["port"]["state"] == "limited"
    weights = checks["weights smollm2-135m-instruct"]
    assert (weights["state"], weights["fix"]) == ("broken", "vivavoce models pull smollm2-135m-instruct")
