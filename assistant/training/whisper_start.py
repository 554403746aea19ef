"""Whisper tiny.en's encoder: where the streaming encoder starts from, and the teacher that it is distilled
from.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from assistant.errors import WeightsError
from audiocodec.encoder import NEAR, Encoder, Layer
from audiocodec.front_end import DYNAMIC_RANGE, FrontEnd
from audiocodec.numbers import LISTEN_WINDOW_LENGTH

HEADS, LAYERS = 6, 4
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


def teacher_mel(front_end: FrontEnd, samples: Tensor) -> Tensor:
    """Whisper's own mel of (B, samples) at 16 kHz, moved so that frame t of both encoders hears the same
    sound.
    """
    power = front_end.log_mel(nn.functional.pad(samples, (LISTEN_WINDOW_LENGTH, 0)))
    top = power.amax(dim=(1, 2), keepdim=True)
    return (torch.maximum(power, top - DYNAMIC_RANGE) + 4) / 4


class WhisperTeacher(nn.Module):
    """The original encoder over whole utterances, frozen."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterDict(
            {
                name.removeprefix("encoder/").replace("/", "-"): nn.Parameter(
                    value.float(), requires_grad=False
                )
                for name, value in tensors.items()
                if name.startswith("encoder/") and value.is_floating_point()
            }
        )

    def linear(self, x: Tensor, name: str) -> Tensor:
        """One of its linear layers."""
        return nn.functional.linear(x, self.weights[f"{name}-weight"], self.weights[f"{name}-bias"])

    def norm(self, x: Tensor, name: str) -> Tensor:
        """One of its layer norms."""
        return nn.functional.layer_norm(
            x, x.shape[-1:], self.weights[f"{name}-gamma"], self.weights[f"{name}-beta"]
        )

    def forward(self, mel: Tensor, logits: list[Tensor] | None = None) -> Tensor:
        """Hidden frames (B, T // 2, 384) of mel frames (B, 80, T); ``logits`` collects attention logits by
        layer.
        """
        weights = self.weights
        x = nn.functional.gelu(
            nn.functional.conv1d(mel, weights["conv1-weight"], weights["conv1-bias"], padding=1)
        )
        x = nn.functional.conv1d(x, weights["conv2-weight"], weights["conv2-bias"], stride=2, padding=1)
        x = nn.functional.gelu(x).transpose(1, 2)
        x = x + weights["position_encodings-encodings"][: x.shape[1]]
        for index in range(LAYERS):
            name = f"layer_{index}-self_attention"
            joined = self.linear(self.norm(x, f"{name}-layer_norm"), f"{name}-linear_0")
            query, key, value = joined.view(*joined.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            if logits is not None:
                logits.append(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5)
            mixed = nn.functional.scaled_dot_product_attention(query, key, value)
            x = x + self.linear(mixed.transpose(1, 2).flatten(2), f"{name}-linear_1")
            name = f"layer_{index}-ffn"
            wide = nn.functional.gelu(self.linear(self.norm(x, f"{name}-layer_norm"), f"{name}-linear_0"))
            x = x + self.linear(wide, f"{name}-linear_1")
        return self.norm(x, "layer_norm")


def start_from(encoder: Encoder, tensors: dict[str, Tensor]) -> None:
    """Copy Whisper's weights into the streaming encoder, its positions replaced by their mean."""
    source = {name.removeprefix("encoder/"): value.float() for name, value in tensors.items()}

    def copy(target: nn.Module, weight: Tensor, bias: Tensor) -> None:
        for name, value in (("weight", weight), ("bias", bias)):
            parameter = getattr(target, name)
            if parameter is not None:
                parameter.data.copy_(value)

    for conv, name in ((encoder.conv1, "conv1"), (encoder.conv2, "conv2")):
        copy(conv, source[f"{name}/weight"], source[f"{name}/bias"])
    copy(encoder.norm, source["layer_norm/gamma"], source["layer_norm/beta"])
    encoder.position.data.copy_(source["position_encodings/encodings"][:500].mean(dim=0))
    for index, layer in enumerate(encoder.stack.layers):
        assert isinstance(layer, Layer)
        name = f"layer_{index}/self_attention"
        copy(layer.attention_norm, source[f"{name}/layer_norm/gamma"], source[f"{name}/layer_norm/beta"])
        weights = source[f"{name}/linear_0/weight"].chunk(3)
        biases = source[f"{name}/linear_0/bias"].chunk(3)
        attention = layer.attention
        for linear, weight, bias in zip(
            (attention.query, attention.key, attention.value), weights, biases, strict=True
        ):
            copy(linear, weight, bias)
        copy(attention.out, source[f"{name}/linear_1/weight"], source[f"{name}/linear_1/bias"])
        name = f"layer_{index}/ffn"
        copy(layer.feed_forward_norm, source[f"{name}/layer_norm/gamma"], source[f"{name}/layer_norm/beta"])
        copy(layer.up, source[f"{name}/linear_0/weight"], source[f"{name}/linear_0/bias"])
        copy(layer.down, source[f"{name}/linear_1/weight"], source[f"{name}/linear_1/bias"])


@torch.no_grad()
def start_distance_bias(encoder: Encoder, teacher: WhisperTeacher, mel: Tensor) -> None:
    """Begin each head's distance bias with how its teacher looks at each distance, averaged
    over real speech.
    """
    logits: list[Tensor] = []
    teacher(mel, logits)
    for layer, table in zip(encoder.stack.layers, logits, strict=True):
        assert isinstance(layer, Layer)
        centred = table.float().mean(dim=0)
        centred = centred - centred.mean(dim=-1, keepdim=True)  # (H, T, T)
        block = layer.attention.block
        for distance in range(1 - block, min(NEAR, centred.shape[-1] // 2)):
            value = centred.diagonal(offset=-distance, dim1=-2, dim2=-1).mean(dim=-1)
            layer.attention.distance_bias[:, distance + block - 1] = value
        layer.attention.distance_bias[:, NEAR + block - 1 :] = value[:, None]
