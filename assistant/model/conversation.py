"""A typed conversation on one cache: turns are appended as they come, nothing is ever computed twice."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from assistant.model.chat import ChatFormat, Message, fit
from assistant.model.decoder import Decoder
from assistant.model.generate import Limits, generate
from assistant.model.kv_cache import CacheShape
from assistant.model.tokenizer import TextStream, Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """The next token of an answer and the text that became certain with it."""

    token: int | None  # None: only text that was held back
    text: str


class Conversation:
    """Holds one session's cache and the turns that are not in it yet."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, shape: CacheShape | None = None) -> None:
        self.format = ChatFormat(tokenizer)
        self._decoder, self._tokenizer = decoder, tokenizer
        self.cache = decoder.new_cache(shape)
        self._pending: list[int] = []

    def add(self, message: Message) -> None:
        """Append a whole turn."""
        self._pending += self.format.turn(message)

    def prompt(self) -> tuple[list[int], int]:
        """Give the ids that the next answer begins from, and how many too many there were for the window."""
        whole = self._pending + self.format.open("assistant")
        kept = fit(whole, self.cache.shape)
        return kept, len(whole) - len(kept)

    def answer(self, limits: Limits) -> Iterator[Piece]:
        """Answer the turns so far, piece by piece; stopping early keeps what was yielded as the answer."""
        ids, _ = self.prompt()
        limits = replace(limits, stop=limits.stop | {self.format.turn_end})
        stream, end = TextStream(self._tokenizer), self.cache.position + len(ids)
        said: list[int] = []
        self._pending = []
        try:
            for token in generate(self._decoder, self.cache, torch.tensor(ids), limits):
                said.append(token)
                yield Piece(token, stream.push([token]))
        finally:
            # What was said but not yet read goes into the cache before the next turn.
            self._pending = said[max(0, self.cache.position - end) :] + self.format.close()
        rest = stream.flush()
        if rest:
            yield Piece(None, rest)
