"""Text to JSON, and JSON to checked values. Whatever a client may send ends in a value or in Refused."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assistant.session.errors import Refused


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What one message may hold."""

    json_depth: int = 32
    id_characters: int = 256
    text_characters: int = 65_536
    image_bytes: int = 2 << 20
    image_pixels: int = 8_000_000
    delta_bytes: int = 256 << 10
    tools: int = 128


def parse(text: str, depth: int) -> dict[str, Any]:
    """Read one JSON object. Raises Refused("invalid_json") for anything else.

    NaN, Infinity and numbers that overflow to it, and nesting beyond ``depth``, are refused as well.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Refused("invalid_json", "A message must be one JSON object with finite numbers.") from None
    if not isinstance(value, dict):
        raise Refused("invalid_json", "A message must be one JSON object.")
    if _deeper(value, depth):
        raise Refused("invalid_json", f"JSON may be nested at most {depth} deep.")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _deeper(value: object, depth: int) -> bool:
    level: list[object] = [value]
    for _ in range(depth + 1):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


class Fields:
    """An object's fields, read with their kind checked. ``path`` names the object in errors."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise Refused("invalid_value", f"{path or 'the message'} must be an object.", param=path or None)
        self.value: dict[str, Any] = value
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self.value

    def at(self, name: str) -> str:
        """The full name of a field."""
        return f"{self._path}.{name}" if self._path else name

    def wrong(self, name: str, needed: str) -> Refused:
        """An error about a field's value."""
        return Refused("invalid_value", f"{self.at(name)} must be {needed}.", param=self.at(name))

    def need(self, name: str) -> Any:
        """A field that must be there."""
        if name not in self.value:
            raise Refused("missing_field", f"{self.at(name)} is missing.", param=self.at(name))
        return self.value[name]

    def text(self, name: str, limit: int, default: str | None = None) -> str:
        """A string; without a default it must be there."""
        value = self.need(name) if default is None else self.value.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        if len(value) > limit:
            raise self.wrong(name, f"at most {limit} characters long")
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            raise self.wrong(name, "Unicode text without lone surrogates")
        return value

    def optional(self, name: str, limit: int) -> str | None:
        """A string, null or nothing."""
        return None if self.value.get(name) is None else self.text(name, limit)

    def choice(self, name: str, options: Sequence[str], default: str | None = None) -> str:
        """One of some words."""
        value = self.need(name) if default is None else self.value.get(name, default)
        if value not in options or not isinstance(value, str):
            raise self.wrong(name, "one of " + ", ".join(options))
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within bounds (2.0 counts as one)."""
        value = self.need(name) if default is None else self.value.get(name, default)
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not low <= value <= high:
            raise self.wrong(name, f"a whole number from {low} to {high}")
        return int(value)

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """A number within bounds."""
        value = self.value.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.wrong(name, f"a number from {low} to {high}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.value.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        """An array; nothing counts as an empty one."""
        value = self.value.get(name)
        value = [] if value is None else value
        if not isinstance(value, list):
            raise self.wrong(name, "an array")
        if len(value) > limit:
            raise self.wrong(name, f"an array of at most {limit}")
        return value

    def object(self, name: str) -> "Fields":
        """An object that must be there."""
        return Fields(self.need(name), self.at(name))
