"""Read GGUF files: metadata, and tensors turned back into floating point.

The file is mapped, not read, so that opening costs nothing and each tensor is touched once. Block formats are
undone with numpy on whole tensors. What a damaged file can get wrong is a WeightsError with its name.

Source: the GGUF specification (ggml-org/ggml, docs/gguf.md) and the block layouts in ggml's ggml-common.h.
"""

import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from assistant.errors import WeightsError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32  # bytes; general.alignment overrides it
MAX_DIMENSIONS = 4
BLOCK = 32  # weights per block of every format below

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def _halves(rows: Bytes) -> Floats:
    """Read one little-endian float16 per row of two bytes."""
    return np.ascontiguousarray(rows).view("<f2").astype(np.float32)


def _nibbles(rows: Bytes) -> Floats:
    """Split 16 bytes into 32 values: all low halves, then all high halves."""
    return np.concatenate([rows & 15, rows >> 4], axis=1).astype(np.float32)


def _q4_0(raw: Bytes) -> Floats:
    return _halves(raw[:, :2]) * (_nibbles(raw[:, 2:]) - 8.0)


def _q4_1(raw: Bytes) -> Floats:
    return _halves(raw[:, :2]) * _nibbles(raw[:, 4:]) + _halves(raw[:, 2:4])


def _high_bits(raw: Bytes) -> Floats:
    """Give the fifth bit of each of 32 values as 0 or 16."""
    return np.unpackbits(raw, axis=1, bitorder="little").astype(np.float32) * 16.0


def _q5_0(raw: Bytes) -> Floats:
    return _halves(raw[:, :2]) * (_nibbles(raw[:, 6:]) + _high_bits(raw[:, 2:6]) - 16.0)


def _q5_1(raw: Bytes) -> Floats:
    return _halves(raw[:, :2]) * (_nibbles(raw[:, 8:]) + _high_bits(raw[:, 4:8])) + _halves(raw[:, 2:4])


def _q8_0(raw: Bytes) -> Floats:
    return _halves(raw[:, :2]) * np.ascontiguousarray(raw[:, 2:]).view(np.int8).astype(np.float32)


def _f32(raw: Bytes) -> Floats:
    return raw.view("<f4").astype(np.float32)


def _f16(raw: Bytes) -> Floats:
    return raw.view("<f2").astype(np.float32)


def _bf16(raw: Bytes) -> Floats:
    return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True, slots=True)
class TensorFormat:
    """How one ggml type stores ``block`` values in ``bytes`` bytes."""

    name: str
    block: int  # values
    bytes: int  # per block
    decode: Callable[[Bytes], Floats]  # (blocks, bytes) uint8 -> (blocks, block)


FORMATS: Mapping[int, TensorFormat] = {
    0: TensorFormat("F32", 1, 4, _f32),
    1: TensorFormat("F16", 1, 2, _f16),
    2: TensorFormat("Q4_0", BLOCK, 18, _q4_0),
    3: TensorFormat("Q4_1", BLOCK, 20, _q4_1),
    6: TensorFormat("Q5_0", BLOCK, 22, _q5_0),
    7: TensorFormat("Q5_1", BLOCK, 24, _q5_1),
    8: TensorFormat("Q8_0", BLOCK, 34, _q8_0),
    30: TensorFormat("BF16", 1, 2, _bf16),
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies; ``shape`` is in PyTorch's order (rows first)."""

    name: str
    shape: tuple[int, ...]
    format: TensorFormat
    start: int  # byte offset in the file

    @property
    def blocks(self) -> int:
        """Number of stored blocks."""
        return int(np.prod(self.shape, dtype=np.int64)) // self.format.block

    @property
    def nbytes(self) -> int:
        """Stored size."""
        return self.blocks * self.format.bytes


class GGUFFile:
    """A mapped GGUF file: ``metadata`` by key, ``infos`` by tensor name, ``tensor(name)`` decoded to float32.

    Raises:
        WeightsError: the file is missing, no GGUF, cut short, or holds a tensor format not known here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            reason = error.strerror if isinstance(error, OSError) else "the file is empty"
            raise WeightsError(f"cannot read {path}: {reason}") from error
        reader = _Reader(self._map, path)
        if reader.take(4) != MAGIC:
            raise WeightsError(f"{path} is not a GGUF file: it does not begin with 'GGUF'")
        version = reader.scalar("I")
        if version not in VERSIONS:
            raise WeightsError(f"{path} is GGUF version {version}; versions 2 and 3 can be read")
        tensor_count, entry_count = reader.scalar("Q"), reader.scalar("Q")
        self.metadata: dict[str, Any] = {reader.text(): reader.value() for _ in range(entry_count)}
        self.infos = self._read_infos(reader, tensor_count)

    def _read_infos(self, reader: "_Reader", count: int) -> dict[str, TensorInfo]:
        entries = [reader.tensor_entry() for _ in range(count)]
        alignment = int(self.metadata.get("general.alignment", DEFAULT_ALIGNMENT))
        base = -(-reader.at // alignment) * alignment
        infos: dict[str, TensorInfo] = {}
        for name, shape, kind, offset in entries:
            if kind not in FORMATS:
                known = ", ".join(format.name for format in FORMATS.values())
                raise WeightsError(f"{self.path}: tensor {name} has ggml type {kind}; readable are {known}")
            info = TensorInfo(name, shape, FORMATS[kind], base + offset)
            if shape[-1] % info.format.block:
                raise WeightsError(
                    f"{self.path}: tensor {name} has rows of {shape[-1]}, no multiple of {BLOCK}"
                )
            if info.start + info.nbytes > len(self._map):
                raise WeightsError(
                    f"{self.path} is cut short: tensor {name} ends at byte {info.start + info.nbytes:,}, "
                    f"the file at {len(self._map):,}; fetch it again"
                )
            infos[name] = info
        return infos

    def tensor(self, name: str) -> Tensor:
        """Decode one tensor to a fresh float32 tensor in PyTorch's shape."""
        info = self.infos.get(name)
        if info is None:
            raise WeightsError(f"{self.path} has no tensor named {name}")
        raw = np.frombuffer(self._map, np.uint8, info.nbytes, info.start)
        blocks = raw.reshape(info.blocks, info.format.bytes) if info.format.block > 1 else raw
        return torch.from_numpy(np.ascontiguousarray(info.format.decode(blocks)).reshape(info.shape))


class _Reader:
    """A cursor over the header that refuses to run past the end."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise WeightsError(
                f"{self.path} is cut short: its header needs byte {end:,} of {len(self.data):,}; fetch again"
            )
        chunk = self.data[self.at : end]
        self.at = end
        return chunk

    def scalar(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def text(self) -> str:
        return self.take(self.scalar("Q")).decode("utf-8", errors="replace")

    def value(self) -> Any:
        return self._typed(self.scalar("I"))

    def _typed(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array()
        raise WeightsError(f"{self.path}: metadata value of unknown type {kind} at byte {self.at:,}")

    def _array(self) -> list[Any]:
        kind, count = self.scalar("I"), self.scalar("Q")
        if kind in _SCALARS:
            code = f"<{count}{_SCALARS[kind]}"
            return list(struct.unpack(code, self.take(struct.calcsize(code))))
        return [self._typed(kind) for _ in range(count)]

    def tensor_entry(self) -> tuple[str, tuple[int, ...], int, int]:
        """Read name, shape (PyTorch's order), ggml type and offset within the data."""
        name, dimensions = self.text(), self.scalar("I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise WeightsError(f"{self.path}: tensor {name} has {dimensions} dimensions")
        shape = tuple(int(self.scalar("Q")) for _ in range(dimensions))[::-1]
        return name, shape, self.scalar("I"), self.scalar("Q")
