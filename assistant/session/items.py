"""The conversation: items in order, each replaced as a whole when it changes."""

from dataclasses import dataclass

from assistant.session.errors import Refused

ROOT = "root"  # as ``previous_item_id``: before everything


@dataclass(frozen=True, slots=True)
class Part:
    """One content part. ``data`` is only filled on the way in (PCM at 24 kHz, or a picture's file)."""

    kind: str  # "text", "audio" or "image"
    text: str | None = ""  # the text, or the transcript of audio where there is one
    samples: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Item:
    """A message, a call of a tool, or a tool's output."""

    id: str
    kind: str = "message"  # "function_call", "function_call_output"
    role: str = ""
    parts: tuple[Part, ...] = ()
    status: str = "completed"
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""


class Conversation:
    """Items in the order in which the model reads them."""

    def __init__(self, limit: int = 4_096) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] = []
        self._limit = limit

    @property
    def order(self) -> tuple[str, ...]:
        """The items' ids, first to last."""
        return tuple(self._order)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._items

    def get(self, item_id: str) -> Item:
        """Find an item. Raises Refused when there is none of that id."""
        if item_id not in self._items:
            raise Refused(
                "item_not_found", f"There is no item {item_id!r} in this conversation.", param="item_id"
            )
        return self._items[item_id]

    def add(self, item: Item, previous: str | None = None) -> str | None:
        """Put an item behind ``previous`` (None: last; ``root``: first) and give the id before it.

        Raises Refused for an id that is taken, an unknown ``previous``, and a conversation that is full.
        """
        if item.id in self._items:
            raise Refused("duplicate_item", f"There is an item {item.id!r} already.", param="item.id")
        if len(self._order) >= self._limit:
            raise Refused(
                "invalid_item", f"A conversation holds at most {self._limit} items; delete some first."
            )
        if previous is None:
            at = len(self._order)
        elif previous == ROOT:
            at = 0
        else:
            self.get(previous)
            at = self._order.index(previous) + 1
        self._order.insert(at, item.id)
        self._items[item.id] = item
        return self._order[at - 1] if at else None

    def replace(self, item: Item) -> None:
        """Put a changed item in its old place; one that was deleted meanwhile stays away."""
        if item.id in self._items:
            self._items[item.id] = item

    def remove(self, item_id: str) -> Item:
        """Take an item out. Raises Refused when there is none."""
        item = self.get(item_id)
        self._order.remove(item_id)
        del self._items[item_id]
        return item
