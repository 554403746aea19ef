"""The C side's structures, field by field as in types.h and matrix.h."""

import ctypes
from collections.abc import Sequence

from torch import Tensor

from assistant.model.quantized import PackedMatrix, QuantizedModel

MAX_ROWS = 128  # per call
MAX_GROUP_HEADS = 16
MAX_HEAD_DIM = 256


class Matrix(ctypes.Structure):
    """An int8 matrix."""

    _fields_ = (
        ("weight", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
    )


class Product(ctypes.Structure):
    """A matrix times rows."""

    _fields_ = (
        ("matrix", ctypes.POINTER(Matrix)),
        *((name, ctypes.c_void_p) for name in ("x", "bias", "out")),
        *((name, ctypes.c_int32) for name in ("rows", "width", "columns")),
    )


class StackLayer(ctypes.Structure):
    """Weights of one of hearing's layers."""

    _fields_ = (
        *((name, Matrix) for name in ("qkv", "out", "up", "down")),
        *((f"{name}_bias", ctypes.c_void_p) for name in ("qkv", "out", "up", "down")),
        *((f"{name}_{part}", ctypes.c_void_p) for name in ("attention", "ffn") for part in ("norm", "shift")),
    )


class Stack(ctypes.Structure):
    """Hearing's layers and the rows that they are run over."""

    _fields_ = (
        ("layer", ctypes.POINTER(StackLayer)),
        *((name, ctypes.POINTER(ctypes.c_void_p)) for name in ("past", "memory", "bias")),
        *((name, ctypes.c_void_p) for name in ("x", "out")),
        *(
            (name, ctypes.c_int32)
            for name in ("layers", "rows", "width", "heads", "ffn_width", "seen", "first", "given")
        ),
        ("eps", ctypes.c_float),
    )


class ConvLayer(ctypes.Structure):
    """Weights of one of the voice's blocks."""

    _fields_ = (
        *((name, Matrix) for name in ("up", "down")),
        *(
            (name, ctypes.c_void_p)
            for name in ("up_bias", "down_bias", "conv", "conv_bias", "norm", "shift", "scale")
        ),
    )


class Convs(ctypes.Structure):
    """The voice's blocks and the frames that they are run over."""

    _fields_ = (
        ("layer", ctypes.POINTER(ConvLayer)),
        *((name, ctypes.POINTER(ctypes.c_void_p)) for name in ("tails", "kept")),
        ("x", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("layers", "rows", "width", "hidden", "kernel")),
        ("eps", ctypes.c_float),
    )


class Layer(ctypes.Structure):
    """Weights of one layer."""

    _fields_ = (
        *((name, Matrix) for name in ("qkv", "o", "gate_up", "down")),
        *((name, ctypes.c_void_p) for name in ("attention_norm", "ffn_norm", "q_norm", "k_norm", "qkv_bias")),
    )


class Model(ctypes.Structure):
    """Shape and weights of the model."""

    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in ("layers", "width", "heads", "kv_heads", "head_dim", "ffn_width", "vocabulary")
        ),
        ("norm_eps", ctypes.c_float),
        ("layer", ctypes.POINTER(Layer)),
        ("norm", ctypes.c_void_p),
        ("head", Matrix),
    )


class Session(ctypes.Structure):
    """One session's cache and how many rows of the step are its own."""

    _fields_ = (
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("position", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("count", "sinks", "window", "ring")),
    )


class Step(ctypes.Structure):
    """Everything that one call needs."""

    _fields_ = (
        ("model", ctypes.POINTER(Model)),
        ("sessions", ctypes.POINTER(Session)),
        ("session_count", ctypes.c_int32),
        ("rows", ctypes.c_int32),
        ("x", ctypes.c_void_p),
        ("rotary", ctypes.c_void_p),
        ("hidden_layer", ctypes.c_int32),
        ("hidden", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
    )


def describe(model: QuantizedModel) -> Model:
    """Point C structures at a model's tensors; they must outlive the result."""
    config = model.config
    layers = (Layer * config.layers)()
    for target, source in zip(layers, model.layers, strict=True):
        for name in ("qkv", "o", "gate_up", "down"):
            setattr(target, name, matrix(getattr(source, name)))
        for name in ("attention_norm", "ffn_norm", "q_norm", "k_norm", "qkv_bias"):
            setattr(target, name, address(getattr(source, name)))
    return Model(
        config.layers,
        config.width,
        config.heads,
        config.kv_heads,
        config.head_dim,
        config.ffn_width,
        config.vocabulary,
        config.norm_eps,
        ctypes.cast(layers, ctypes.POINTER(Layer)),
        address(model.norm),
        matrix(model.head),
    )


def address(tensor: Tensor | None) -> int | None:
    """Give a tensor's address, None for none."""
    return None if tensor is None else tensor.data_ptr()


def addresses(tensors: Sequence[Tensor]) -> "ctypes.Array[ctypes.c_void_p] | None":
    """Give the addresses of several tensors, None where there are none."""
    return (ctypes.c_void_p * len(tensors))(*(address(one) for one in tensors)) if tensors else None


def matrix(packed: PackedMatrix) -> Matrix:
    """Point a C structure at a packed matrix, which must outlive it."""
    return Matrix(address(packed.weight), address(packed.scale), packed.rows, packed.columns)
