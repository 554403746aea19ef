"""Low-rank adapters while they are trained. Source: Hu et al. 2021, arXiv:2106.09685."""

import torch
from torch import Tensor, nn

from assistant.errors import WeightsError
from assistant.model.adapters import Adapter
from assistant.model.backbone import Backbone


class LoraLinear(nn.Module):
    """A frozen linear layer and its low-rank change; the change begins at zero."""

    def __init__(self, layer: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        down = torch.randn(rank, layer.in_features, generator=generator) / layer.in_features**0.5
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        out: Tensor = self.layer(x)
        change = nn.functional.linear(nn.functional.linear(x, self.down.to(x.dtype)), self.up.to(x.dtype))
        return out + change


class Adapted(nn.Module):
    """The learned part of a transformer: its adapters and a few embedding rows."""

    row_tokens: Tensor

    def __init__(
        self, backbone: Backbone, rank: int, row_tokens: tuple[int, ...], first: int = 0, seed: int = 0
    ) -> None:
        """Replaces every linear layer of ``backbone`` from block ``first`` on; all else stays frozen."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        backbone.requires_grad_(False)
        self.names: list[str] = []
        layers = []
        for name, layer in list(backbone.named_modules()):
            inside = name.startswith("blocks.") and int(name.split(".")[1]) >= first
            if inside and isinstance(layer, nn.Linear):
                parent, _, child = name.rpartition(".")
                adapted = LoraLinear(layer, rank, generator)
                setattr(backbone.get_submodule(parent), child, adapted)
                self.names.append(name)
                layers.append(nn.ParameterList([adapted.down, adapted.up]))
        self.layers = nn.ModuleList(layers)
        self.register_buffer("row_tokens", torch.tensor(row_tokens, dtype=torch.long))
        self.rows = nn.Parameter(backbone.embedding.weight[list(row_tokens)].float().clone())

    def embed(self, backbone: Backbone, tokens: Tensor) -> Tensor:
        """Look tokens up, the learned rows in place of the frozen ones: (...) to (..., D) float32."""
        out: Tensor = backbone.embedding(tokens).float()
        for index, token in enumerate(self.row_tokens.tolist()):
            out = torch.where((tokens == token)[..., None], self.rows[index], out)
        return out

    @torch.no_grad()
    def start_from(self, adapter: Adapter) -> None:
        """Begin where an adapter ended.

        Raises:
            WeightsError: it changes other layers, or by another rank.
        """
        for name, layer in zip(self.names, self.layers, strict=True):
            assert isinstance(layer, nn.ParameterList)
            pair = adapter.matrices.get(name, ())
            if [part.shape for part in pair] != [part.shape for part in layer]:
                raise WeightsError(f"the adapter's {name} does not fit: begin without it")
            for own, part in zip(layer, pair, strict=True):
                own.copy_(part)
        if adapter.row_tokens.tolist() == self.row_tokens.tolist():
            self.rows.copy_(adapter.rows)

    @torch.no_grad()
    def adapter(self) -> Adapter:
        """What has been learned, ready to be stored or merged."""
        pairs = {}
        for name, layer in zip(self.names, self.layers, strict=True):
            assert isinstance(layer, nn.ParameterList)
            pairs[name] = (layer[0].detach().clone(), layer[1].detach().clone())
        return Adapter(pairs, self.row_tokens.clone(), self.rows.detach().clone())
