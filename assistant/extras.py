"""Packages that not every command needs: imported on demand, with the fix in one line when they do not load.

Mismatched builds of torch and torchaudio are the commonest breakage of this kind, and torchaudio, encodec and
vocos all fall with them. The live path (serve, talk, ask) therefore imports none of them; what needs one says
``require("vocos")``.
"""

import importlib
from types import ModuleType

from assistant.errors import DependencyError

PAIR = "reinstall the pair that fits: .venv/bin/python -m pip install -c constraints.txt torch torchaudio"
PORTAUDIO = (
    "install PortAudio: sudo apt install libportaudio2 (Debian, Ubuntu, WSL) or brew install portaudio"
)
AGAIN = "install it again: .venv/bin/python -m pip install -c constraints.txt"
EXTRA = "install the group: bin/setup --extra"

FIXES = {
    "torchaudio": PAIR,
    "encodec": PAIR,
    "vocos": PAIR,
    "sounddevice": PORTAUDIO,
    "webrtcvad": f"{AGAIN} --force-reinstall webrtcvad-wheels",
    "cv2": f"{AGAIN} --force-reinstall opencv-python-headless",
    "torch": f"{AGAIN} --force-reinstall torch torchaudio",
    "hibari": f"{EXTRA} train",
    "onnx": f"{EXTRA} train",
    "onnxruntime": f"{EXTRA} train",
    "matplotlib": f"{EXTRA} train",
    "faster_whisper": f"{EXTRA} judges",
    "pocketsphinx": f"{EXTRA} judges",
    "distillmos": f"{EXTRA} judges",
    "speechmos": f"{EXTRA} judges",
    "pystoi": f"{EXTRA} judges",
    "resemblyzer": f"{EXTRA} judges",
    "swift_f0": f"{EXTRA} judges",
    "livekit": f"{EXTRA} aec",
    "triton": f"{EXTRA} gpu",
    "llama_cpp": f"{EXTRA} llama-cpp",
    "ray": f"{EXTRA} serve-ray",
}
# What a broken or missing package raises on import: no module, no shared library, a symbol of another build.
BROKEN = (ImportError, OSError, RuntimeError, AttributeError)


def require(name: str) -> ModuleType:
    """Import a module, or raise DependencyError that says why it does not load and how to mend it."""
    try:
        return importlib.import_module(name)
    except BROKEN as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        fix = FIXES.get(name.partition(".")[0], f"{AGAIN} {name}")
        raise DependencyError(f"{name} does not load ({reason}); {fix}") from error
