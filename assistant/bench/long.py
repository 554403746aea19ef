"""Whether a session can go on for ever: perplexity far beyond the window, with and without sinks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from assistant.bench.exactness import scoring_model
from assistant.bench.memory import peak_mb
from assistant.errors import DependencyError, UsageError
from assistant.model.checkpoint import load_checkpoint
from assistant.model.decoder import Decoder
from assistant.model.kv_cache import CacheShape, KVCache
from assistant.model.tokenizer import Tokenizer

SEGMENT = 1_000  # positions per point of the curve


@dataclass(frozen=True, slots=True)
class LongReport:
    """Perplexity of each segment and what a fresh cache makes of the last one."""

    positions: int
    with_sinks: tuple[float, ...]
    without_sinks: tuple[float, ...]
    fresh: float  # last segment, cache filled only with the window before it
    cache_bytes: tuple[int, int]  # at the start and at the end
    peak_memory_growth_mb: float  # of the process, from the second segment on

    @property
    def change(self) -> float:
        """Last segment against the fresh cache; 0.03 is three per cent."""
        return self.with_sinks[-1] / self.fresh - 1


def long_text(tokenizer: Tokenizer, turns: Sequence[str], positions: int) -> Tensor:
    """Give the first ``positions`` + 1 tokens of a text.

    Raises:
        UsageError: the text is shorter.
    """
    ids = tokenizer.encode("\n".join(turns))[: positions + 1]
    if len(ids) <= positions:
        raise UsageError(f"the text has {len(ids)} tokens, needed are {positions + 1}")
    return torch.tensor(ids)


def measure_long(path: Path, turns: Sequence[str], positions: int, shape: CacheShape,
                 progress: Callable[[int], None]) -> LongReport:  # fmt: skip
    """Stream one text of ``positions`` tokens through a cache with sinks and one without."""
    checkpoint = load_checkpoint(path)
    decoder = checkpoint.decoder
    ids = long_text(checkpoint.tokenizer, turns, positions)
    score = _scorer(decoder)
    cache = decoder.new_cache(shape)
    before, growth, curve = cache.nbytes, 0.0, []
    for start in range(0, positions, SEGMENT):
        curve.append(score(cache, ids[start : start + SEGMENT + 1]))
        if start == SEGMENT:
            growth = peak_mb()
        progress(start)
    growth = peak_mb() - growth
    bare, without = decoder.new_cache(replace(shape, sinks=0)), []
    for start in range(0, positions, SEGMENT):
        without.append(score(bare, ids[start : start + SEGMENT + 1]))
        progress(start)
    last = positions - positions % SEGMENT if positions % SEGMENT else positions - SEGMENT
    fresh = decoder.new_cache(shape)
    decoder.prefill(fresh, ids[max(0, last - shape.window) : last])
    sizes = before, cache.nbytes
    return LongReport(positions, tuple(curve), tuple(without), score(fresh, ids[last:]), sizes, growth)


def _scorer(decoder: Decoder) -> Callable[[KVCache, Tensor], float]:
    """Give a function that appends ids[:-1] to a cache and returns the perplexity of ids[1:]."""
    scorer, layers = scoring_model(decoder), decoder.config.layers

    @torch.inference_mode()
    def score(cache: KVCache, ids: Tensor) -> float:
        hidden = decoder.prefill(cache, ids[:-1], layer=layers).hidden
        assert hidden is not None
        losses = [
            functional.cross_entropy(scorer.logits(scorer.norm(rows)), targets, reduction="sum")
            for rows, targets in zip(torch.split(hidden, 256), torch.split(ids[1:], 256), strict=True)
        ]
        return float(torch.exp(torch.stack(losses).sum() / (len(ids) - 1)))

    return score


def plot_long(report: LongReport, path: Path) -> None:
    """Draw both curves."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise DependencyError("a plot needs matplotlib: pip install matplotlib") from error
    figure, axes = pyplot.subplots(figsize=(7, 3.5))
    ends = [SEGMENT * (i + 1) for i in range(len(report.with_sinks))]
    axes.plot(ends, report.with_sinks, label="with sinks")
    axes.plot(ends, report.without_sinks, label="without sinks")
    axes.set_yscale("log")
    axes.set_xlabel("position")
    axes.set_ylabel("perplexity of the last 1,000 tokens")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
