"""Linear layers with int8 weights on the CPU: for a few rows, reading the weights is what they cost."""

import ctypes
from collections.abc import Callable, Sequence

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
        pointers = (ctypes.pointer(self._matrix), None, address(self._bias), None)
        self._product = Product(*pointers, 0, self.in_features, self.out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out) float32."""
        if x.shape[-1] != self.in_features:
            raise ValueError(f"got {x.shape[-1]} columns, need {self.in_features}")
        if x.device.type != "cpu":
            raise ValueError(f"int8 products run on the CPU, got {x.device.type}")
        rows = x.detach().reshape(-1, self.in_features).float().contiguous()
        out = torch.empty(len(rows), self.out_features)
        product = self._product
        product.x, product.out, product.rows = rows.data_ptr(), out.data_ptr(), len(rows)
        self._threads.multiply(product)
        return out.view(*x.shape[:-1], self.out_features)


def exchange(module: nn.Module, makers: Sequence[tuple[type[nn.Module], Callable[..., nn.Module]]]) -> None:
    """Put what ``makers`` make, the first whose type fits, in the place of a module's parts."""
    for name, child in module.named_children():
        make = next((make for kind, make in makers if isinstance(child, kind)), None)
        if make is None:
            exchange(child, makers)
        else:
            setattr(module, name, make(child))


def rounded(threads: Threads, layer: nn.Linear) -> Int8Linear:
    """A linear layer with its weights rounded."""
    return Int8Linear(threads, layer.weight, layer.bias)


def threads_for(*modules: nn.Module) -> Threads | None:
    """Threads for the linear layers of modules; none without a compiler for the C part."""
    layers = [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]
    try:
        return Threads(max(layer.in_features for layer in layers))
    except DependencyError:
        return None
