"""Whisper tiny.en's encoder: where the encoder starts from."""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from assistant.errors import WeightsError
from audiocodec.encoder import Encoder, WindowLayer

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_ctranslate2(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a CTranslate2 model (binary version 6).

    Source: OpenNMT/CTranslate2, src/models/model.cc: version, name, revision and count, then for each
    variable its name, rank, sizes, type, bytes; all little-endian, strings with their length and a closing
    zero.
    """
    if not path.exists():
        raise WeightsError(f"{path} is missing: run `vivavoce models fetch whisper-tiny.en`")
    data, position = memoryview(path.read_bytes()), 0

    def number(kind: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from("<" + kind, data, position)
        position += struct.calcsize("<" + kind)
        return int(value)

    def text() -> str:
        nonlocal position
        length = number("H")
        value = bytes(data[position : position + length - 1]).decode()
        position += length
        return value

    if number("I") != 6:
        raise WeightsError(f"{path} is no CTranslate2 model of binary version 6")
    text(), number("I")
    tensors = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype, size = DTYPES[number("B")], number("I")
        values = np.frombuffer(data[position : position + size], dtype).reshape(shape)
        tensors[name] = torch.from_numpy(values.copy())
        position += size
    return tensors


def start_from(encoder: Encoder, tensors: dict[str, Tensor]) -> None:
    """Copy Whisper's weights into the encoder, of its positions as many as a window has."""
    source = {name.removeprefix("encoder/"): value.float() for name, value in tensors.items()}

    def copy(target: nn.Module, weight: Tensor, bias: Tensor) -> None:
        for name, value in (("weight", weight), ("bias", bias)):
            parameter = getattr(target, name)
            if parameter is not None:
                parameter.data.copy_(value)

    for conv, name in ((encoder.conv1, "conv1"), (encoder.conv2, "conv2")):
        copy(conv, source[f"{name}/weight"], source[f"{name}/bias"])
    copy(encoder.norm, source["layer_norm/gamma"], source["layer_norm/beta"])
    encoder.positions.data.copy_(source["position_encodings/encodings"][: len(encoder.positions)])
    for index, layer in enumerate(encoder.layers):
        assert isinstance(layer, WindowLayer)
        name = f"layer_{index}/self_attention"
        copy(layer.attention_norm, source[f"{name}/layer_norm/gamma"], source[f"{name}/layer_norm/beta"])
        weights = source[f"{name}/linear_0/weight"].chunk(3)
        biases = source[f"{name}/linear_0/bias"].chunk(3)
        for linear, weight, bias in zip((layer.query, layer.key, layer.value), weights, biases, strict=True):
            copy(linear, weight, bias)
        copy(layer.out, source[f"{name}/linear_1/weight"], source[f"{name}/linear_1/bias"])
        name = f"layer_{index}/ffn"
        copy(layer.feed_forward_norm, source[f"{name}/layer_norm/gamma"], source[f"{name}/layer_norm/beta"])
        copy(layer.up, source[f"{name}/linear_0/weight"], source[f"{name}/linear_0/bias"])
        copy(layer.down, source[f"{name}/linear_1/weight"], source[f"{name}/linear_1/bias"])
