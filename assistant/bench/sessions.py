"""A soak: sessions that come and go, read slowly, vanish and cancel, beside healthy ones."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from assistant.bench.latency import Spread
from assistant.bench.streaming import speak

Audio = NDArray[np.float32]
MIB = 1 << 20
WATCH_S = 2.0  # a conversation's cache comes and goes within seconds: one reading says little
TELL_EVERY = 30  # readings


@dataclass(slots=True)
class SoakReport:
    """What was measured."""

    seconds: float
    single: Spread  # first sound of one session alone
    healthy: Spread  # of the healthy ones in the crowd
    healthy_answers: int
    healthy_failures: int
    unhealthy: dict[str, int]
    memory_mib: list[float] = field(default_factory=list)  # of the daemon, every WATCH_S

    @property
    def growth(self) -> float:
        """Share by which the mean memory of the last third exceeds that of the middle third."""
        middle, last = self._thirds()
        return float(np.mean(last) / np.mean(middle) - 1)

    @property
    def floor_growth(self) -> float:
        """The same of the least memory: what is held when the fewest conversations are."""
        middle, last = self._thirds()
        return min(last) / min(middle) - 1

    def _thirds(self) -> tuple[list[float], list[float]]:
        third = max(1, len(self.memory_mib) // 3)
        return self.memory_mib[third : 2 * third] or self.memory_mib, self.memory_mib[-third:]


def memory_mib(pid: int) -> float:
    """Resident memory of a process. Linux only."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4_096 / MIB


@dataclass(slots=True)
class Soak:
    """One run against a daemon."""

    url: str
    clips: Sequence[Audio]
    sessions: int
    seconds: float
    pid: int | None = None
    seed: int = 1

    async def run(self, tell: Callable[[str], None]) -> SoakReport:
        """Measure one session alone, then the crowd."""
        alone = [await speak(self.url, clip) for clip in list(self.clips)[:10]]
        single = Spread.of([one.first_sound_s for one in alone if one.first_sound_s is not None])
        tell(f"alone: median {single.median_ms:.0f} ms")
        totals: list[float] = []
        counts: dict[str, int] = {}
        memory: list[float] = []
        until = time.monotonic() + self.seconds
        healthy = max(1, self.sessions // 2)
        tasks = [asyncio.create_task(self._healthy(n, until, totals, counts)) for n in range(healthy)]
        tasks += [
            asyncio.create_task(self._unhealthy(n, until, counts)) for n in range(self.sessions - healthy)
        ]
        tasks.append(asyncio.create_task(self._watch(until, memory, tell)))
        await asyncio.gather(*tasks)
        failures = counts.pop("failed", 0)
        await self._alive()
        return SoakReport(self.seconds, single, Spread.of(totals), len(totals), failures, counts, memory)

    async def _alive(self) -> None:
        base = self.url.replace("ws", "http", 1).removesuffix("/v1/realtime")
        async with httpx.AsyncClient() as http:
            (await http.get(base + "/readyz")).raise_for_status()

    async def _healthy(self, number: int, until: float, totals: list[float], counts: dict[str, int]) -> None:
        rng = random.Random(self.seed * 100 + number)
        while time.monotonic() < until:
            heard = await speak(self.url, rng.choice(list(self.clips)))
            if heard.first_sound_s is None:
                counts["failed"] = counts.get("failed", 0) + 1
            elif heard.interrupted_at_s is None:
                totals.append(heard.first_sound_s)
            await asyncio.sleep(rng.uniform(0.2, 2.0))

    async def _unhealthy(self, number: int, until: float, counts: dict[str, int]) -> None:
        rng = random.Random(self.seed * 1_000 + number)
        kinds = {
            "vanished": self._vanish,
            "slow": self._read_slowly,
            "half-open": self._half_open,
            "cancel storm": self._storm,
        }
        while time.monotonic() < until:
            name = rng.choice(list(kinds))
            counts[name] = counts.get(name, 0) + 1
            try:
                await kinds[name](rng)
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                counts["refused or closed"] = counts.get("refused or closed", 0) + 1
            await asyncio.sleep(rng.uniform(0.2, 1.0))

    async def _ask(self, socket: ClientConnection, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        for message in ({"type": "conversation.item.create", "item": item}, {"type": "response.create"}):
            await socket.send(json.dumps(message))

    async def _vanish(self, rng: random.Random) -> None:
        async with connect(self.url, compression=None) as socket:
            await self._ask(socket, "Tell me a long story.")
            await asyncio.sleep(rng.uniform(0.1, 2.0))
            socket.transport.abort()

    async def _read_slowly(self, rng: random.Random) -> None:
        async with connect(self.url, compression=None, close_timeout=1) as socket:
            socket.transport.pause_reading()
            for _ in range(3):
                await self._ask(socket, "Tell me a long story.")
                await asyncio.sleep(rng.uniform(0.5, 2.0))
            socket.transport.resume_reading()

    async def _half_open(self, rng: random.Random) -> None:
        host, _, port = self.url.split("/")[2].partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n")
        await asyncio.sleep(rng.uniform(1.0, 15.0))
        writer.close()

    async def _storm(self, rng: random.Random) -> None:
        async with connect(self.url, compression=None, max_size=None) as socket:
            for _ in range(rng.randrange(5, 30)):
                await self._ask(socket, "Count to ten.")
                await socket.send(json.dumps({"type": "response.cancel"}))
                await asyncio.sleep(rng.uniform(0.0, 0.1))

    async def _watch(self, until: float, memory: list[float], tell: Callable[[str], None]) -> None:
        while time.monotonic() < until:
            await asyncio.sleep(min(WATCH_S, max(0.0, until - time.monotonic())))
            if self.pid is not None:
                memory.append(memory_mib(self.pid))
                if len(memory) % TELL_EVERY == 0:
                    tell(f"memory {np.mean(memory[-TELL_EVERY:]):.0f} MiB")
