"""What one session remembers: keys and values in a ring, with the first positions pinned.

Rows 0 .. sinks-1 hold positions 0 .. sinks-1 for ever; position p >= sinks lives in row sinks + (p - sinks)
% ring, with ring = window + rewind. A query at position p sees the sinks and the ``window`` newest
positions up to p. The ``rewind`` extra rows are never seen; they keep what a rewind must bring back.

Keys are stored rotated to their absolute position, once. Between window and query only differences matter,
so that stays exact at any position. The sinks drift away from the window; they must be seen as if they
stood right before it, otherwise the distance outgrows the training context. That is done on the query's
side: against the sinks it is rotated to ``sink_position``, and no stored key is ever touched again.

Source: Xiao et al. 2023, arXiv 2309.17453, section 3.2 (positions within the cache, not within the text).
"""

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

from assistant.errors import SessionFull
from assistant.model.config import ModelConfig

DEFAULT_WINDOW = 2_048  # positions
DEFAULT_SINKS = 4
DEFAULT_REWIND = 512  # positions: about 40 s of codec frames


@dataclass(frozen=True, slots=True)
class CacheShape:
    """How far a session looks back, in positions."""

    window: int = DEFAULT_WINDOW
    sinks: int = DEFAULT_SINKS
    rewind: int = DEFAULT_REWIND

    def __post_init__(self) -> None:
        if self.window < 1 or self.sinks < 0 or self.rewind < 0:
            raise ValueError(f"{self}: window must be at least 1, sinks and rewind at least 0")

    @property
    def ring(self) -> int:
        """Rows that are written over and over."""
        return self.window + self.rewind

    @property
    def capacity(self) -> int:
        """All rows."""
        return self.sinks + self.ring

    @property
    def seen(self) -> int:
        """Most rows that one query attends to."""
        return self.sinks + self.window

    def sink_position(self, position: int) -> int:
        """Where a query at ``position`` stands when it looks at the sinks."""
        return min(position, self.seen - 1)


class SlotPool:
    """Storage of several caches side by side, so that a captured graph can reach any of them by number."""

    def __init__(self, config: ModelConfig, shape: CacheShape, slots: int, like: Tensor) -> None:
        size = (slots, config.layers, config.kv_heads, shape.capacity, config.head_dim)
        self.shape = shape
        self.keys = torch.zeros(size, dtype=like.dtype, device=like.device)
        self.values = torch.zeros(size, dtype=like.dtype, device=like.device)
        self._free = list(range(slots))

    def take(self) -> int:
        """Give a free slot.

        Raises:
            SessionFull: there is none.
        """
        if not self._free:
            raise SessionFull(f"all {len(self.keys)} caches on the GPU are taken; close a session")
        return self._free.pop()

    def give_back(self, slot: int) -> None:
        """Make a slot free again."""
        self._free.append(slot)


class KVCache:
    """Keys and values of one session, (layers, kv_heads, capacity, head_dim) each; changed in place.

    The tensors' addresses never change. ``position`` is the absolute position of the next input and is
    moved by ``advance``, ``rewind`` and ``reset`` only.
    """

    def __init__(
        self,
        config: ModelConfig,
        shape: CacheShape | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        pool: SlotPool | None = None,
    ) -> None:
        shape = pool.shape if pool else shape or CacheShape()
        if shape.seen > config.context:
            raise ValueError(
                f"sinks + window is {shape.seen}, the model was trained on {config.context} positions"
            )
        self.config, self.shape = config, shape
        self.pool, self.slot = pool, None if pool is None else pool.take()
        if pool is None or self.slot is None:
            size = (config.layers, config.kv_heads, shape.capacity, config.head_dim)
            self.keys = torch.zeros(size, dtype=dtype, device=device)
            self.values = torch.zeros(size, dtype=dtype, device=device)
        else:
            self.keys, self.values = pool.keys[self.slot], pool.values[self.slot]
            weakref.finalize(self, pool.give_back, self.slot)
        self.position = 0
        self._furthest = 0  # positions below _furthest - ring have been overwritten

    @property
    def nbytes(self) -> int:
        """Memory of keys and values; constant."""
        return self.keys.nbytes + self.values.nbytes

    @property
    def earliest(self) -> int:
        """The lowest position that ``rewind`` can go back to."""
        lost = self._furthest - self.shape.ring  # the oldest position still in the ring
        return max(0, lost + self.shape.window - 1) if lost > self.shape.sinks else 0

    def rows(self, count: int) -> Tensor:
        """Give the rows, int64 (count,), that the next ``count`` positions go to."""
        positions = torch.arange(self.position, self.position + count)
        ring_rows = self.shape.sinks + (positions - self.shape.sinks) % self.shape.ring
        return torch.where(positions < self.shape.sinks, positions, ring_rows).to(self.keys.device)

    def append(self, layer: int, rows: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write (kv_heads, count, head_dim) of one layer; ``advance`` follows after the last layer."""
        self.keys[layer].index_copy_(1, rows, keys.to(self.keys.dtype))
        self.values[layer].index_copy_(1, rows, values.to(self.values.dtype))

    def advance(self, count: int) -> None:
        """Count ``count`` positions as written.

        Raises:
            ValueError: more at once than fit without overwriting what the first of them still sees.
        """
        if not 0 <= count <= self.shape.rewind + 1:
            raise ValueError(f"{count} positions at once, at most rewind + 1 = {self.shape.rewind + 1} fit")
        self.position += count
        self._furthest = max(self._furthest, self.position)

    def rewind(self, position: int) -> None:
        """Go back to ``position``, as if nothing after it had been written.

        Raises:
            ValueError: it lies ahead, or before ``earliest``.
        """
        if not self.earliest <= position <= self.position:
            raise ValueError(f"cannot rewind to {position}: possible are {self.earliest} to {self.position}")
        self.position = position

    def fork(self) -> "KVCache":
        """Copy everything into a new cache that goes its own way."""
        other = KVCache(self.config, self.shape, self.keys.dtype, self.keys.device, self.pool)
        used = min(self._furthest, self.shape.capacity)
        other.keys[:, :, :used].copy_(self.keys[:, :, :used])
        other.values[:, :, :used].copy_(self.values[:, :, :used])
        other.position, other._furthest = self.position, self._furthest
        return other

    def reset(self) -> None:
        """Forget everything; old rows stay in memory unseen."""
        self.position = self._furthest = 0

    def row_positions(self, end: int) -> Tensor:
        """Give the position that each used row holds once positions below ``end`` are written, int64."""
        count = min(end, self.shape.capacity)
        rows = torch.arange(count)
        newest = end - 1
        ring = (
            newest - (newest - rows) % self.shape.ring
        )  # row r holds p = r modulo ring, as r - sinks = p - sinks
        return torch.where(rows < self.shape.sinks, rows, ring)
