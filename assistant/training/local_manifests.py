"""Manifests of weights that the project carries itself: written with the files, so that sums fit."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model whose files lie beside its manifest."""

    name: str
    title: str
    licence: str
    origin: str
    role: str
    files: tuple[str, ...]


HEARING = LocalModel(
    name="viva-hearing",
    title="Hearing of viva-tiny: streaming encoder, codebooks, manner, and the codec's nets",
    licence="Apache-2.0; starts from Whisper tiny.en (MIT)",
    origin="made by `vivavoce train hearing-weights`",
    role="encoder",
    files=("viva-hearing.safetensors", "viva-hearing-codes.safetensors", "viva-codec.safetensors"),
)
OMNI = LocalModel(
    name="viva-omni",
    title="Adapter of SmolLM2-135M-Instruct: answers what it hears",
    licence="Apache-2.0",
    origin="made by `vivavoce train hearing-weights`",
    role="model",
    files=("viva-omni.safetensors",),
)


def write_manifest(folder: Path, model: LocalModel) -> Path:
    """Write a manifest for files that are already in ``folder``."""
    lines = [f'{key} = "{getattr(model, key)}"' for key in ("name", "title", "licence", "origin", "role")]
    for name in model.files:
        data = (folder / name).read_bytes()
        lines += ["", "[[file]]", f'name = "{name}"', f"size = {len(data)}"]
        lines += [f'sha256 = "{hashlib.sha256(data).hexdigest()}"']
        lines += [f'source = [{{ kind = "local", path = "{name}" }}]']
    path = folder / f"{model.name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
