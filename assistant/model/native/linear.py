"""Linear layers with int8 weights on the CPU: for a few rows, reading the weights is what they cost."""

import ctypes

import torch
from torch import Tensor, nn

from assistant.errors import DependencyError
from assistant.model.native.structs import Product, address, matrix
from assistant.model.native.threads import Threads
from assistant.model.quantized import pack


class Int8Linear(nn.Module):
    """``nn.Linear`` without gradients; weights are rounded as in ``assistant.model.quantized``.

    Sums are exact integers within a group of columns, as in the decoder: a row's result is the same to the
    last bit whatever rows are with it.

    Raises:
        ValueError: it is wider than what ``threads`` were opened for.
    """

    def __init__(self, threads: Threads, weight: Tensor, bias: Tensor | None = None) -> None:
        """``weight`` (out, in) and ``bias`` (out,)."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        if self.in_features > threads.widest:
            raise ValueError(f"{self.in_features} columns, at most {threads.widest} are possible")
        self._threads = threads
        self._packed = pack(weight.detach())  # kept here, because the C side only points at it
        self._matrix = matrix(self._packed)
        self._bias = None if bias is None else bias.detach().float().clone()

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out) float32."""
        if x.shape[-1] != self.in_features:
            raise ValueError(f"got {x.shape[-1]} columns, need {self.in_features}")
        if x.device.type != "cpu":
            raise ValueError(f"int8 products run on the CPU, got {x.device.type}")
        rows = x.reshape(-1, self.in_features).float().contiguous()
        out = torch.empty(len(rows), self.out_features)
        self._threads.multiply(
            Product(
                ctypes.pointer(self._matrix),
                rows.data_ptr(),
                address(self._bias),
                out.data_ptr(),
                len(rows),
                self.in_features,
                self.out_features,
            )
        )
        return out.view(*x.shape[:-1], self.out_features)


def round_linears(module: nn.Module, threads: Threads) -> None:
    """Put an Int8Linear in the place of every linear layer of a module."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(threads, child.weight, child.bias))
        else:
            round_linears(child, threads)


def threads_for(*modules: nn.Module) -> Threads | None:
    """Threads for the linear layers of modules; none without a compiler for the C part."""
    layers = [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]
    try:
        return Threads(max(layer.in_features for layer in layers))
    except DependencyError:
        return None


def quicken(*modules: nn.Module) -> Threads | None:
    """Round the linear layers of modules to int8, in their place; gives the threads that they share.

    Without a compiler for the C part nothing is done, and nothing given.
    """
    threads = threads_for(*modules)
    if threads is not None:
        for module in modules:
            round_linears(module, threads)
    return threads
