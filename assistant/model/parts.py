"""Modules as parts of a safetensors file, each under its name, in half precision."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from assistant.errors import WeightsError

HALF = torch.float16


def save_parts(path: Path, parts: dict[str, nn.Module], metadata: dict[str, str]) -> None:
    """Write modules."""
    tensors = {
        f"{name}.{key}": halved(value)
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }
    save_file(tensors, path, metadata)


def halved(value: Tensor) -> Tensor:
    """A tensor as it is stored: numbers in half precision, indices in 32 bits."""
    value = value.detach().contiguous()
    if value.is_floating_point():
        return value.to(HALF)
    return value if value.dtype == torch.uint8 else value.to(torch.int32)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors and what is noted beside them.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    if not path.is_file():
        raise WeightsError(f"no weights at {path}: train them or take them from the project's weights folder")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        return load_file(path), metadata
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or cut short ({error})") from error


def fill_parts(parts: dict[str, nn.Module], tensors: dict[str, Tensor]) -> None:
    """Load modules from tensors that carry their names.

    Raises:
        RuntimeError: one is missing or has another shape.
    """
    for name, part in parts.items():
        own = {
            key.removeprefix(f"{name}."): value
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        part.load_state_dict(
            {key: value.float() if value.is_floating_point() else value.long() for key, value in own.items()}
        )
