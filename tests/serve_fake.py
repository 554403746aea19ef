"""Run the daemon around the fake model, for clients in other processes: prints its port and serves."""

import argparse
import asyncio
import signal
from pathlib import Path

from assistant.config import ServerSettings
from assistant.engine.worker import Worker
from assistant.server.daemon import Daemon
from tests.fakes import FakeOmni, LoudVoice


async def main(settings: ServerSettings) -> None:
    engine = Worker(FakeOmni())
    daemon = Daemon(settings, engine, "fake", voice=LoudVoice)
    await daemon.start()
    print(daemon.port, flush=True)  # noqa: T201  # the parent process reads it
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await daemon.stop(1.0)
    engine.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--max-sessions", type=int, default=8)
    given = parser.parse_args()
    asyncio.run(
        main(
            ServerSettings(
                port=0, max_sessions=given.max_sessions, tls_cert=given.tls_cert, tls_key=given.tls_key
            )
        )
    )
