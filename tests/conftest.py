"""Skips, with the reason, what this machine lacks the parts for."""

import importlib.util

import pytest
import torch

from assistant.weights import manifest
from assistant.weights.store import State, Store

# The tests' models are tiny: a second thread costs more in waiting than it computes.
torch.set_num_threads(1)

JUDGES = ("faster_whisper", "onnxruntime", "distillmos")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests as skipped whose marker names something that is not here."""
    markers = {marker.name for item in items for marker in item.iter_markers()}
    lacking = {name: reason for name in markers if (reason := _lack(name))}
    for item in items:
        for name in {marker.name for marker in item.iter_markers()} & lacking.keys():
            item.add_marker(pytest.mark.skip(reason=lacking[name]))


def _lack(marker: str) -> str:
    if marker == "weights":
        return _missing_weights()
    if marker == "judges":
        missing = [name for name in JUDGES if importlib.util.find_spec(name) is None]
        return f"needs bin/setup --extra judges ({', '.join(missing)} missing)" if missing else ""
    if marker == "gpu":
        return "" if torch.cuda.is_available() else "needs a CUDA device"
    return ""


def _missing_weights() -> str:
    store = Store(offline=True)
    needed = [model for model in manifest.load_all() if model.needed]
    bad = [model.name for model in needed if store.model_state(model) in (State.MISSING, State.DAMAGED)]
    return f"needs vivavoce models pull {' '.join(bad)}" if bad else ""
