"""Fixtures for tests over real loopback sockets."""

from collections.abc import AsyncIterator

import pytest

from assistant.server.daemon import Daemon
from tests.server import rig


@pytest.fixture
async def running() -> AsyncIterator[Daemon]:
    async with rig.daemon() as found:
        yield found


@pytest.fixture
async def client(running: Daemon) -> AsyncIterator[rig.Client]:
    async with rig.client(running) as found:
        yield found
