"""livekit-plugins-openai: text, a spoken turn, a barge-in and a tool call. Prints what it saw as JSON."""

import asyncio
import json
import sys

from livekit import rtc
from livekit.agents import llm
from livekit.plugins.openai import realtime
from sounds import RATE, packets, silence, tone


@llm.function_tool
async def weather() -> str:
    """Look outside."""
    return "rain"


def push(session, pcm):
    for packet in packets(pcm):
        session.push_audio(rtc.AudioFrame(packet, RATE, 1, len(packet) // 2))


async def read(generation):
    """The text of an answer, its seconds of sound, and the tools that it calls."""
    words, seconds, calls = [], 0.0, []

    async def functions():
        async for call in generation.function_stream:
            calls.append(call)

    task = asyncio.create_task(functions())
    async for message in generation.message_stream:
        async for part in message.text_stream:
            words.append(str(part))
        async for frame in message.audio_stream:
            seconds += frame.duration
    await task
    return "".join(words), seconds, calls


async def main(port):
    model = realtime.RealtimeModel(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", model="viva-tiny")
    session, seen, made, began = model.session(), {}, asyncio.Queue(), asyncio.Event()
    session.on("generation_created", made.put_nowait)
    session.on("input_speech_started", lambda _: began.set())
    session.on("error", lambda error: print("error", error, file=sys.stderr))
    await session.update_tools([weather])

    async def ask(text):
        context = session.chat_ctx.copy()
        context.add_message(role="user", content=text)
        await session.update_chat_ctx(context)
        future = session.generate_reply()
        generation = await future
        await made.get()
        return generation

    seen["text"], seconds, _ = await read(await ask("hello"))
    seen["sounded"] = seconds > 0
    push(session, tone(0.6, 200) + silence(1.0))
    seen["audio"] = (await read(await made.get()))[0]
    generation = await ask(" ".join(["word"] * 60))
    began.clear()
    push(session, tone(0.5, 140))
    await began.wait()
    await session.interrupt() if asyncio.iscoroutinefunction(session.interrupt) else session.interrupt()
    text, seconds, _ = await read(generation)
    seen["barge_in"] = text.count("word") < 60
    push(session, silence(1.0))
    await read(await made.get())
    _, _, calls = await read(await ask("call weather"))
    seen["tool"] = calls[0].name
    context = session.chat_ctx.copy()
    output = llm.FunctionCallOutput(call_id=calls[0].call_id, name="weather", output="rain", is_error=False)
    context.items.append(output)
    await session.update_chat_ctx(context)
    generation = await session.generate_reply()
    seen["tool_answer"] = (await read(generation))[0]
    print(json.dumps(seen))
    await session.aclose()


asyncio.run(main(sys.argv[1]))
