"""Low-rank adapters: what joint training changed in the transformer, small enough to ship, merged when it is
loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assistant.errors import WeightsError
from assistant.model.backbone import Backbone

DOWN, UP = ".down", ".up"  # ends of the two tensors' names of one adapted matrix
ROWS, ROW_TOKENS = "rows", "row_tokens"  # embedding rows that were learned, and whose they are


@dataclass(frozen=True, slots=True)
class Adapter:
    """Named low-rank changes of linear layers and a few learned embedding rows.

    ``matrices`` maps a layer's name (``blocks.3.attention.q``) to (down (r, in), up (out, r)); the change of
    its weight is up @ down. Source: Hu et al. 2021, arXiv:2106.09685; the scale is folded into ``up``.
    """

    matrices: Mapping[str, tuple[Tensor, Tensor]]
    row_tokens: Tensor  # (n,) int64
    rows: Tensor  # (n, D)


def read_adapter(tensors: Mapping[str, Tensor]) -> Adapter:
    """Sort a file's tensors into an adapter.

    Raises:
        WeightsError: one half of a pair is missing.
    """
    names = sorted({name.rsplit(".", 1)[0] for name in tensors if name.endswith((DOWN, UP))})
    matrices = {}
    for name in names:
        if name + DOWN not in tensors or name + UP not in tensors:
            raise WeightsError(f"the adapter has only one half of {name}")
        matrices[name] = (tensors[name + DOWN], tensors[name + UP])
    empty = torch.zeros(0, dtype=torch.long)
    return Adapter(matrices, tensors.get(ROW_TOKENS, empty), tensors.get(ROWS, torch.zeros(0, 0)))


def adapter_tensors(adapter: Adapter) -> dict[str, Tensor]:
    """The tensors of an adapter as they are stored."""
    tensors = {ROWS: adapter.rows, ROW_TOKENS: adapter.row_tokens}
    for name, (down, up) in adapter.matrices.items():
        tensors[name + DOWN], tensors[name + UP] = down, up
    return tensors


@torch.no_grad()
def merge(backbone: Backbone, adapter: Adapter) -> Backbone:
    """Add an adapter's changes to a transformer's weights, in place; gives the same transformer.

    Raises:
        WeightsError: the transformer lacks a layer or a shape does not fit; nothing was changed then.
    """
    changes: list[tuple[Tensor, Tensor]] = []
    for name, (down, up) in adapter.matrices.items():
        try:
            layer = backbone.get_submodule(name)
        except AttributeError:
            raise WeightsError(f"the adapter changes {name}, which the transformer lacks") from None
        weight = layer.weight if isinstance(layer, nn.Linear) else None
        if weight is None or weight.shape != (up.shape[0], down.shape[1]):
            shape = None if weight is None else tuple(weight.shape)
            raise WeightsError(f"the adapter's {name} is {(up.shape[0], down.shape[1])}, must be {shape}")
        changes.append((weight, up.float() @ down.float()))
    for weight, change in changes:
        weight.copy_(weight.float() + change)
    if len(adapter.row_tokens):
        backbone.embedding.weight[adapter.row_tokens] = adapter.rows.to(backbone.embedding.weight.dtype)
    return backbone
