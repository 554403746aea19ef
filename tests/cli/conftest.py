"""Runs the command as a person does, in an own cache and settings file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give a function that runs ``vivavoce`` with arguments and extra environment variables."""

    def call(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VIVAVOCE_")}
        places = {"VIVAVOCE_CACHE": str(tmp_path / "cache"), "VIVAVOCE_CONFIG": str(tmp_path / "config.toml")}
        environment = kept | places | {"PYTHONPATH": f"{ROOT}:{ROOT / 'codecs'}"} | variables
        command = [sys.executable, "-m", "assistant", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)

    return call
