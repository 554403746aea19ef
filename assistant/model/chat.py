"""Conversations as token ids: the ChatML layout, and what to keep when they outgrow the window."""

from collections.abc import Iterable
from dataclasses import dataclass

from assistant.model.kv_cache import CacheShape
from assistant.model.tokenizer import Tokenizer

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    text: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role is {self.role!r}, must be one of {', '.join(ROLES)}")


class ChatFormat:
    """Writes turns as ids: ``<|im_start|>role`` newline, content, ``<|im_end|>`` newline."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._start, self.turn_end = tokenizer.marker(TURN_START), tokenizer.marker(TURN_END)

    def open(self, role: str) -> list[int]:
        """Give what stands before a turn's content."""
        return [self._start, *self.tokenizer.encode(f"{role}\n")]

    def close(self) -> list[int]:
        """Give what stands after a turn's content."""
        return [self.turn_end, *self.tokenizer.encode("\n")]

    def turn(self, message: Message) -> list[int]:
        """Give a whole turn."""
        return [*self.open(message.role), *self.tokenizer.encode(message.text), *self.close()]

    def prompt(self, messages: Iterable[Message]) -> list[int]:
        """Give all turns and the opening of the assistant's answer."""
        ids = [id_ for message in messages for id_ in self.turn(message)]
        return ids + self.open("assistant")


def fit(ids: list[int], shape: CacheShape, reserve: int = 0) -> list[int]:
    """Drop what a full cache could not see anyway: keep the sinks and the newest that leave ``reserve`` free.

    Raises:
        ValueError: ``reserve`` leaves no room.
    """
    room = shape.window - reserve
    if room < 1:
        raise ValueError(f"{reserve} reserved positions leave no room in a window of {shape.window}")
    if len(ids) <= shape.sinks + room:
        return ids
    return ids[: shape.sinks] + ids[-room:]
