"""GGUF files: every block format against plain arithmetic, and every way in which a file can be broken."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.errors import WeightsError
from assistant.weights.gguf import GGUFFile

STRING, UINT32 = 8, 4


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(tensors: list[tuple[str, tuple[int, ...], int, bytes]]) -> bytes:
    """Write a small file: one metadata entry of each of three kinds, then the tensors."""
    entries = [
        text("general.architecture") + struct.pack("<I", STRING) + text("llama"),
        text("llama.block_count") + struct.pack("<II", UINT32, 7),
        text("list") + struct.pack("<IIQ", 9, 5, 3) + struct.pack("<3i", -1, 0, 1),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries)
    data = b""
    for name, shape, kind, raw in tensors:
        head += text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", size) for size in reversed(shape)) + struct.pack(
            "<IQ", kind, len(data)
        )
        data += raw + bytes(-len(raw) % 32)
    return head + bytes(-len(head) % 32) + data


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def put(content: bytes) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        return path

    return put


def test_metadata_and_shapes(write: Callable[[bytes], Path]) -> None:
    values = np.arange(6, dtype="<f4")
    file = GGUFFile(write(gguf([("a", (2, 3), 0, values.tobytes())])))
    assert file.metadata == {"general.architecture": "llama", "llama.block_count": 7, "list": [-1, 0, 1]}
    assert torch.equal(file.tensor("a"), torch.arange(6.0).view(2, 3))


def half(value: float) -> bytes:
    return np.float16(value).tobytes()


@pytest.mark.parametrize(
    ("kind", "raw", "want"),
    [
        (1, np.arange(32, dtype="<f2").tobytes(), [float(i) for i in range(32)]),
        (2, half(0.5) + bytes(i | (15 - i) << 4 for i in range(16)),
         [0.5 * (i - 8) for i in range(16)] + [0.5 * (7 - i) for i in range(16)]),
        (3, half(0.5) + half(-1) + bytes(i | (15 - i) << 4 for i in range(16)),
         [0.5 * i - 1 for i in range(16)] + [0.5 * (15 - i) - 1 for i in range(16)]),
        (6, half(2) + struct.pack("<I", 0xFFFF0000) + bytes(i | i << 4 for i in range(16)),
         [2.0 * (i - 16) for i in range(16)] + [2.0 * i for i in range(16)]),
        (7, half(2) + half(1) + struct.pack("<I", 0x0000FFFF) + bytes(i | i << 4 for i in range(16)),
         [2.0 * (i + 16) + 1 for i in range(16)] + [2.0 * i + 1 for i in range(16)]),
        (8, half(0.25) + np.arange(-16, 16, dtype=np.int8).tobytes(), [0.25 * i for i in range(-16, 16)]),
        (30, (np.arange(32, dtype="<f4").view("<u4") >> 16).astype("<u2").tobytes(),
         [float(i) for i in range(32)]),
    ],
    ids=["F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16"],
)  # fmt: skip
def test_every_format(write: Callable[[bytes], Path], kind: int, raw: bytes, want: list[float]) -> None:
    file = GGUFFile(write(gguf([("w", (1, 32), kind, raw)])))
    assert file.tensor("w").tolist() == [want]


def test_every_cut_is_noticed(write: Callable[[bytes], Path]) -> None:
    """Wherever the file ends early, there is one clear error and nothing else."""
    whole = gguf([("w", (2, 32), 8, bytes(68)), ("v", (4,), 0, bytes(16))])
    whole = whole[: len(whole) - 16]  # the padding after the last tensor
    GGUFFile(write(whole))
    for end in range(len(whole)):
        with pytest.raises(WeightsError, match=r"cut short|empty|not a GGUF"):
            GGUFFile(write(whole[:end]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + bytes(60), "is not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "is GGUF version 9"),
        (gguf([("w", (1, 256), 12, bytes(144))]), "has ggml type 12; readable are F32"),
        (gguf([("w", (1, 33), 8, bytes(68))]), "rows of 33, no multiple of 32"),
    ],
)
def test_what_cannot_be_read(write: Callable[[bytes], Path], content: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        GGUFFile(write(content))


def test_missing_file_and_tensor(write: Callable[[bytes], Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        GGUFFile(tmp_path / "none.gguf")
    with pytest.raises(WeightsError, match="no tensor named other"):
        GGUFFile(write(gguf([("w", (4,), 0, bytes(16))]))).tensor("other")
