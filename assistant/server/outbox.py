"""What a session still has to send, and what it sent lately, in order and within bounds."""

import asyncio
from collections import deque


class Outbox:
    """Numbered messages, first in first out; those that were sent are kept for a client that comes back.

    ``limit`` bounds the bytes that are unsent and, apart from them, the bytes that are kept. It never
    blocks and never drops: the owner waits for ``overflowed`` and ends the session.
    """

    def __init__(self, limit: int, keep: bool) -> None:
        self._limit, self._keep = limit, keep
        self._unsent: deque[tuple[int, str]] = deque()
        self._sent: deque[tuple[int, str]] = deque()
        self._unsent_bytes = self._sent_bytes = 0
        self._wake = asyncio.Event()
        self.last = 0  # number of the latest message
        self.overflowed = asyncio.Event()  # more is unsent than a client may leave lying

    @property
    def empty(self) -> bool:
        """Whether everything was sent."""
        return not self._unsent

    def put(self, text: str) -> None:
        """Add the message that ``last + 1`` numbers."""
        self.last += 1
        self._unsent.append((self.last, text))
        self._unsent_bytes += len(text)
        self._wake.set()
        if self._unsent_bytes > self._limit:
            self.overflowed.set()

    async def next(self) -> str:
        """Wait for the first unsent message. It stays unsent until ``sent`` is called."""
        while not self._unsent:
            self._wake.clear()
            await self._wake.wait()
        return self._unsent[0][1]

    def sent(self) -> None:
        """The message that ``next`` gave has been handed to the network."""
        if not self._unsent:
            return
        number, text = self._unsent.popleft()
        self._unsent_bytes -= len(text)
        if self._keep:
            self._sent.append((number, text))
            self._sent_bytes += len(text)
            while self._sent_bytes > self._limit:
                self._sent_bytes -= len(self._sent.popleft()[1])

    def rewind(self, after: int) -> int | None:
        """Make everything behind a number unsent again; give how many that are, or None if they are gone."""
        oldest = self._sent[0][0] if self._sent else (self._unsent[0][0] if self._unsent else self.last + 1)
        if not oldest - 1 <= after <= self.last:
            return None
        while self._sent and self._sent[-1][0] > after:
            entry = self._sent.pop()
            self._sent_bytes -= len(entry[1])
            self._unsent.appendleft(entry)
            self._unsent_bytes += len(entry[1])
        while self._unsent and self._unsent[0][0] <= after:
            self._unsent_bytes -= len(self._unsent.popleft()[1])
        if self._unsent:
            self._wake.set()
        return len(self._unsent)
