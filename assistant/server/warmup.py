"""One throw-away conversation before the daemon calls itself ready."""

import asyncio

from assistant.errors import EngineError
from assistant.session.engine import (
    AddText,
    Answer,
    AnswerDone,
    Close,
    EndAudio,
    Engine,
    Failed,
    Hear,
    Open,
    Report,
)
from audiocodec.numbers import ENCODER_BLOCK_LENGTH

NAME = "warm-up"
SILENCE = bytes(2 * 4 * ENCODER_BLOCK_LENGTH)


async def warm_up(engine: Engine, timeout_s: float) -> None:
    """Hear silence, read a word and say a few. Raises EngineError when the engine fails or takes too long."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(report: Report) -> None:
        if done.done():
            return
        if isinstance(report, Failed):
            done.set_exception(EngineError(report.message))
        elif isinstance(report, AnswerDone):
            done.set_result(None)

    def receive(report: Report) -> None:
        loop.call_soon_threadsafe(settle, report)

    engine.subscribe(NAME, receive)
    engine.submit(Open(NAME, "You are an assistant."))
    engine.submit(Hear(NAME, "sound", SILENCE, 0))
    engine.submit(EndAudio(NAME, "sound"))
    engine.submit(AddText(NAME, "text", "user", "Hello."))
    engine.submit(Answer(NAME, 1, "answer", max_tokens=8))
    try:
        async with asyncio.timeout(timeout_s):
            await done
    except TimeoutError:
        raise EngineError(f"the first answer was not done within {timeout_s:.0f} s") from None
    finally:
        engine.submit(Close(NAME))
