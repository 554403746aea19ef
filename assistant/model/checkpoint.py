"""A model ready to talk: decoder and tokenizer from a weight file, the rounded weights kept for next time."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from assistant.errors import DependencyError, WeightsError
from assistant.model.backbone import Backbone
from assistant.model.decoder import Decoder, TorchDecoder
from assistant.model.loading import backbone_from_gguf, load_backbone
from assistant.model.native.decoder import NativeDecoder
from assistant.model.quantized import (
    FORMAT,
    QuantizedModel,
    dequantize,
    load_quantized,
    quantize,
    save_quantized,
)
from assistant.model.tokenizer import Tokenizer, tokenizer_from_file, tokenizer_from_gguf
from assistant.paths import cache_dir
from assistant.weights.gguf import GGUFFile


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What streaming text needs."""

    decoder: Decoder
    tokenizer: Tokenizer
    step_bytes: int  # weights that one decode step reads


def make_decoder(model: Backbone) -> Decoder:
    """Stream a Backbone in the fastest way that this machine allows: int8 on the CPU, as it is on a GPU."""
    if model.norm.weight.device.type == "cuda":
        try:
            from assistant.model.cuda import CudaDecoder
        except ImportError as error:
            raise DependencyError("the GPU decoder needs triton: pip install 'vivavoce[gpu]'") from error
        return CudaDecoder(model)
    if model.norm.weight.device.type != "cpu":
        return TorchDecoder(model)
    return _stream(quantize(model))


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a .gguf file, or a hub folder (or its model.safetensors) with config.json and tokenizer.json.

    The first time takes seconds; the rounded weights and the tokenizer are then kept in the cache under the
    hash of the source, and the next time takes milliseconds. A cache that cannot be written costs only
    time.

    Raises:
        WeightsError: the file is missing, damaged or of another architecture.
    """
    source = path / "model.safetensors" if path.is_dir() else path
    if not source.is_file():
        raise WeightsError(f"no weights at {path}: give a .gguf file or a folder with model.safetensors")
    kept = cache_dir() / "rounded" / f"{_digest(source)}-{FORMAT}.safetensors"
    kept_tokenizer = kept.with_suffix(".tokenizer.json")
    if kept.is_file() and kept_tokenizer.is_file():
        with suppress(WeightsError):  # a damaged cache is made anew
            model = load_quantized(kept)
            return Checkpoint(_stream(model), tokenizer_from_file(kept_tokenizer), model.step_bytes)
    model, tokenizer = _round(source)
    with suppress(WeightsError, OSError):
        save_quantized(model, kept)
        partial = kept_tokenizer.with_suffix(".part")
        tokenizer.save(partial)
        partial.replace(kept_tokenizer)
    return Checkpoint(_stream(model), tokenizer, model.step_bytes)


def load_tokenizer(path: Path) -> Tokenizer:
    """Read the tokenizer that belongs to a weight file: its own (GGUF) or the tokenizer.json beside it."""
    beside = (path if path.is_dir() else path.parent) / "tokenizer.json"
    if path.suffix == ".gguf" and not beside.is_file():
        return tokenizer_from_gguf(GGUFFile(path).metadata)
    return tokenizer_from_file(beside)


def _round(source: Path) -> tuple[QuantizedModel, Tokenizer]:
    if source.suffix == ".gguf":
        file = GGUFFile(source)
        return quantize(backbone_from_gguf(file)), tokenizer_from_gguf(file.metadata)
    return quantize(load_backbone(source)), load_tokenizer(source)


def _stream(model: QuantizedModel) -> Decoder:
    """Use the C decoder; without a compiler PyTorch computes the same in float32, some times slower."""
    try:
        return NativeDecoder(model, torch.get_num_threads())
    except DependencyError:
        return TorchDecoder(dequantize(model))


def leave_cores(decoder: Decoder) -> None:
    """Let PyTorch have one thread of its own beside the C decoder's, for programs that run both.

    What is left to PyTorch are many small operations, and its helpers, while they wait for the next, hold the
    cores that the C side's want. Call it when all is loaded: the C side takes as many threads as PyTorch had.
    """
    if isinstance(decoder, NativeDecoder):
        torch.set_num_threads(1)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
