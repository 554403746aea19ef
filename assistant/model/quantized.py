"""Int8 weights, packed the way the CPU decoder reads them, and their file.

A weight is scale * int8 + offset, with one float16 scale and offset per row and GROUP columns. GROUP is that
of GGUF's block formats, so that a dequantised Q8_0 or Q4_1 file is rounded to itself, without loss. Rows come
in blocks of LANES; within a block the columns come in pairs, so that one load holds two neighbouring columns
of all rows.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from assistant.errors import WeightsError
from assistant.model.backbone import Backbone
from assistant.model.block import Block, RMSNorm
from assistant.model.config import ModelConfig

FORMAT = "2"  # of the file; another number is another file
GROUP = 32  # columns that share a scale and an offset
LANES = 16  # rows of a block
ROWS_AT_ONCE = 4_096  # while rounding, to keep temporaries small
# Lowest and highest whole number of a group: symmetric as Q8_0, few levels as Q4_1, all that int8 has.
SYMMETRIC, FOUR_BITS, FULL = (-127, 127), (0, 15), (-128, 127)


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """One int8 matrix."""

    weight: Tensor  # (blocks, columns / 2, LANES, 2) int8
    scale: Tensor  # (blocks, columns / GROUP, 2, LANES) float16: scales, offsets

    @property
    def rows(self) -> int:
        """Rows, filled up to a multiple of LANES."""
        return self.weight.shape[0] * LANES

    @property
    def columns(self) -> int:
        """Columns, filled up to a multiple of GROUP."""
        return self.weight.shape[1] * 2

    @property
    def nbytes(self) -> int:
        """Bytes read when the matrix is used once."""
        return self.weight.nbytes + self.scale.nbytes


def pack(weight: Tensor) -> PackedMatrix:
    """Round a float matrix (N, K) to int8 and pack it; rows and columns are filled up with zeros."""
    rows, columns = weight.shape
    weight = functional.pad(weight.float(), (0, -columns % GROUP, 0, -rows % LANES))
    pieces = [_round(piece.view(len(piece), -1, GROUP)) for piece in torch.split(weight, ROWS_AT_ONCE)]
    whole, scale = torch.cat([piece[0] for piece in pieces]), torch.cat([piece[1] for piece in pieces])
    blocks = len(weight) // LANES
    packed = whole.view(blocks, LANES, -1, 2).transpose(1, 2).contiguous()
    return PackedMatrix(packed, scale.view(blocks, LANES, -1, 2).permute(0, 2, 3, 1).contiguous())


def _round(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Round (rows, groups, GROUP): int8 of the same shape and (rows, groups, 2) float16 scales and offsets.

    Each group takes the way that loses least.
    """
    low, high = groups.amin(dim=-1), groups.amax(dim=-1)
    largest, spread = torch.maximum(high, -low), high - low
    full = spread / (FULL[1] - FULL[0])
    ways = (
        (largest / SYMMETRIC[1], torch.zeros_like(low), SYMMETRIC),
        (spread / FOUR_BITS[1], low, FOUR_BITS),
        (full, low - FULL[0] * full, FULL),
    )
    best, whole, scales = (
        torch.full_like(low, torch.inf),
        torch.zeros_like(groups),
        torch.zeros(*low.shape, 2),
    )
    for scale, offset, (least, most) in ways:
        scale, offset = scale.half().float(), offset.half().float()
        divisor = scale.clamp(min=torch.finfo(torch.float16).tiny).unsqueeze(-1)
        rounded = ((groups - offset.unsqueeze(-1)) / divisor).round_().clamp_(least, most)
        error = (rounded * scale.unsqueeze(-1) + offset.unsqueeze(-1) - groups).square_().sum(dim=-1)
        better = error < best
        best = torch.where(better, error, best)
        whole = torch.where(better.unsqueeze(-1), rounded, whole)
        scales = torch.where(better.unsqueeze(-1), torch.stack([scale, offset], dim=-1), scales)
    return whole.to(torch.int8), scales.half()


def unpack(matrix: PackedMatrix) -> Tensor:
    """Give the float32 matrix (rows, columns) that the packed one stands for."""
    whole = matrix.weight.transpose(1, 2).reshape(matrix.rows, -1, GROUP).float()
    scale, offset = matrix.scale.float().permute(2, 0, 3, 1).reshape(2, matrix.rows, -1, 1)
    weight: Tensor = whole * scale + offset
    return weight.view(matrix.rows, matrix.columns)


def interleave(gate: Tensor, up: Tensor) -> Tensor:
    """Alternate blocks of LANES rows of two (N, K) matrices, so that one item of work holds both."""
    halves = [functional.pad(half, (0, 0, 0, -half.shape[0] % LANES)) for half in (gate, up)]
    blocks = [half.view(-1, LANES, half.shape[1]) for half in halves]
    return torch.stack(blocks, dim=1).view(-1, gate.shape[1])


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """Weights of one layer."""

    qkv: PackedMatrix
    o: PackedMatrix
    gate_up: PackedMatrix
    down: PackedMatrix
    attention_norm: Tensor
    ffn_norm: Tensor
    q_norm: Tensor | None
    k_norm: Tensor | None
    qkv_bias: Tensor | None


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """All weights of a decoder: projections int8, norms float32, the input embedding float16."""

    config: ModelConfig
    embedding: Tensor  # (vocabulary, D) float16, read one row per token
    layers: tuple[QuantizedLayer, ...]
    norm: Tensor
    head: PackedMatrix

    @property
    def step_bytes(self) -> int:
        """Bytes of weights that one decode step reads."""
        matrices = [self.head, *(m for x in self.layers for m in (x.qkv, x.o, x.gate_up, x.down))]
        return sum(matrix.nbytes for matrix in matrices)


@torch.no_grad()
def quantize(model: Backbone) -> QuantizedModel:
    """Round a Backbone's projections to int8, 0.2 s per 100 million weights or so."""
    head = model.embedding.weight if model.head is None else model.head.weight
    return QuantizedModel(
        config=model.config,
        embedding=model.embedding.weight.to(torch.float16),
        layers=tuple(_quantize_block(block) for block in model.blocks if isinstance(block, Block)),
        norm=model.norm.weight.float(),
        head=pack(head),
    )


def _quantize_block(block: Block) -> QuantizedLayer:
    attention, ffn = block.attention, block.ffn
    bias = None
    if attention.q.bias is not None:
        bias = torch.cat([attention.q.bias, attention.k.bias, attention.v.bias]).float()
    return QuantizedLayer(
        qkv=pack(torch.cat([attention.q.weight, attention.k.weight, attention.v.weight])),
        o=pack(attention.o.weight),
        gate_up=pack(interleave(ffn.gate.weight, ffn.up.weight)),
        down=pack(ffn.down.weight),
        attention_norm=block.attention_norm.weight.float(),
        ffn_norm=block.ffn_norm.weight.float(),
        q_norm=attention.q_norm.weight.float() if isinstance(attention.q_norm, RMSNorm) else None,
        k_norm=attention.k_norm.weight.float() if isinstance(attention.k_norm, RMSNorm) else None,
        qkv_bias=bias,
    )


_MATRICES = ("qkv", "o", "gate_up", "down")
_VECTORS = ("attention_norm", "ffn_norm", "q_norm", "k_norm", "qkv_bias")


def _named(model: QuantizedModel) -> Iterator[tuple[str, Tensor]]:
    yield from (("embedding", model.embedding), ("norm", model.norm))
    yield from (("head.weight", model.head.weight), ("head.scale", model.head.scale))
    for index, layer in enumerate(model.layers):
        for name in _MATRICES:
            matrix: PackedMatrix = getattr(layer, name)
            yield f"layers.{index}.{name}.weight", matrix.weight
            yield f"layers.{index}.{name}.scale", matrix.scale
        for name in _VECTORS:
            vector: Tensor | None = getattr(layer, name)
            if vector is not None:
                yield f"layers.{index}.{name}", vector


def save_quantized(model: QuantizedModel, path: Path) -> None:
    """Write a safetensors file and move it into place, so that no half file is ever seen.

    Raises:
        WeightsError: the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{id(model):x}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"format": FORMAT, "config": json.dumps(asdict(model.config))}
        save_file({name: tensor.contiguous() for name, tensor in _named(model)}, partial, metadata)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot write the quantised weights to {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def load_quantized(path: Path) -> QuantizedModel:
    """Read what ``save_quantized`` wrote.

    Raises:
        WeightsError: the file is missing, damaged or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise WeightsError(
                    f"{path} has format {metadata.get('format')}, needed is {FORMAT}; delete it"
                )
            config = ModelConfig(**json.loads(metadata["config"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is damaged or cut short ({error}); delete it") from error
    try:
        return _assemble(config, tensors)
    except KeyError as error:
        raise WeightsError(f"{path} lacks {error}; delete it") from error


def _assemble(config: ModelConfig, tensors: dict[str, Tensor]) -> QuantizedModel:
    def matrix(name: str) -> PackedMatrix:
        return PackedMatrix(tensors[f"{name}.weight"], tensors[f"{name}.scale"])

    def layer(prefix: str) -> QuantizedLayer:
        qkv, o, gate_up, down = (matrix(f"{prefix}.{name}") for name in _MATRICES)
        optional = (tensors.get(f"{prefix}.{name}") for name in ("q_norm", "k_norm", "qkv_bias"))
        norms = tensors[f"{prefix}.attention_norm"], tensors[f"{prefix}.ffn_norm"]
        return QuantizedLayer(qkv, o, gate_up, down, *norms, *optional)

    layers = tuple(layer(f"layers.{index}") for index in range(config.layers))
    return QuantizedModel(config, tensors["embedding"], layers, tensors["norm"], matrix("head"))


@torch.no_grad()
def dequantize(model: QuantizedModel) -> Backbone:
    """Give the float32 Backbone that the packed weights stand for; untied from the embedding."""
    config = replace(model.config, tied=False)
    with torch.device("meta"):
        backbone = Backbone(config)
    state = {"embedding.weight": model.embedding.float(), "norm.weight": model.norm}
    state["head.weight"] = unpack(model.head)[: config.vocabulary, : config.width]
    for index, layer in enumerate(model.layers):
        for name, tensor in _plain(config, layer):
            state[f"blocks.{index}.{name}"] = tensor.contiguous()
    backbone.load_state_dict(state, assign=True)
    return backbone.eval()


def _plain(config: ModelConfig, layer: QuantizedLayer) -> Iterator[tuple[str, Tensor]]:
    """Give one layer's tensors by the Backbone's names."""
    sizes = [config.query_width, config.kv_width, config.kv_width]
    qkv = torch.split(unpack(layer.qkv)[: sum(sizes), : config.width], sizes)
    yield from zip(("attention.q.weight", "attention.k.weight", "attention.v.weight"), qkv, strict=True)
    if layer.qkv_bias is not None:
        biases = torch.split(layer.qkv_bias, sizes)
        yield from zip(("attention.q.bias", "attention.k.bias", "attention.v.bias"), biases, strict=True)
    yield "attention.o.weight", unpack(layer.o)[: config.width, : config.query_width]
    both = unpack(layer.gate_up).view(-1, 2, LANES, layer.gate_up.columns)
    for name, half in (("gate", both[:, 0]), ("up", both[:, 1])):
        yield (
            f"ffn.{name}.weight",
            half.reshape(-1, layer.gate_up.columns)[: config.ffn_width, : config.width],
        )
    yield "ffn.down.weight", unpack(layer.down)[: config.width, : config.ffn_width]
    yield from (("attention_norm.weight", layer.attention_norm), ("ffn_norm.weight", layer.ffn_norm))
    for name, norm in (("q_norm", layer.q_norm), ("k_norm", layer.k_norm)):
        if norm is not None:
            yield f"attention.{name}.weight", norm
