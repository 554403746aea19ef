"""openai-agents: a text turn with a tool, a spoken turn and a barge-in. Prints what it saw as JSON."""

import asyncio
import json
import sys

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner
from sounds import packets, silence, tone

CALLED = []


@function_tool
def weather() -> str:
    """Look outside."""
    CALLED.append("weather")
    return "rain"


class Log:
    def __init__(self, session):
        self.session = session

    async def until(self, kind, accept=lambda event: True):
        async for event in self.session:
            if event.type == "error":
                raise SystemExit(f"error event: {event.error}")
            if event.type == kind and accept(event):
                return event
        raise SystemExit(f"closed before {kind}")


def raw(kind):
    """Match the server's own event inside the package's."""
    return lambda event: (
        getattr(event.data, "type", "") == "raw_server_event" and event.data.data["type"] == kind
    )


async def main(port):
    agent = RealtimeAgent(name="Viva", instructions="Be brief.", tools=[weather])
    url = f"ws://127.0.0.1:{port}/v1/realtime?model=viva-tiny"
    session = await RealtimeRunner(agent).run(model_config={"url": url, "api_key": "any"})
    seen = {}
    async with session:
        log = Log(session)
        await session.send_message("hello")
        await log.until("audio")
        await log.until("raw_model_event", raw("response.done"))
        await session.send_message("call weather")
        end = await log.until("tool_end")
        seen["tool"] = [CALLED[0], str(end.output)]
        output = {}
        while "content" not in output:
            answer = await log.until("raw_model_event", raw("response.done"))
            output = answer.data.data["response"]["output"][0]
        seen["tool_answer"] = output["content"][0]["transcript"]
        for packet in packets(tone(0.6, 200) + silence(0.5)):
            await session.send_audio(packet)
        answer = await log.until("raw_model_event", raw("response.done"))
        seen["audio"] = answer.data.data["response"]["output"][0]["content"][0]["transcript"]
        await session.send_message(" ".join(["word"] * 60))
        await log.until("audio")
        for packet in packets(tone(0.5, 140)):
            await session.send_audio(packet)
        await log.until("audio_interrupted")
        answer = await log.until("raw_model_event", raw("response.done"))
        seen["barge_in"] = answer.data.data["response"]["status"]
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
