"""The openai package: a text turn, a spoken turn, a barge-in and a tool call. Prints what it saw as JSON."""

import asyncio
import base64
import json
import sys

from openai import AsyncOpenAI
from sounds import packets, silence, tone


async def until(connection, kind):
    async for event in connection:
        if event.type == "error":
            raise SystemExit(f"error event: {event.error}")
        if event.type == kind:
            return event
    raise SystemExit(f"closed before {kind}")


async def sound(connection, pcm):
    for packet in packets(pcm):
        await connection.input_audio_buffer.append(audio=base64.b64encode(packet).decode())


async def text(connection, words):
    content = [{"type": "input_text", "text": words}]
    await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})


async def main(port):
    client, seen = AsyncOpenAI(api_key="any", base_url=f"http://127.0.0.1:{port}/v1"), {}
    async with client.realtime.connect(model="viva-tiny") as connection:
        tool = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
        turn = {"type": "server_vad", "silence_duration_ms": 300}
        audio = {"input": {"turn_detection": turn, "transcription": {"model": "any"}}}
        await connection.session.update(session={"type": "realtime", "tools": [tool], "audio": audio})
        await until(connection, "session.updated")
        await text(connection, "hello")
        await connection.response.create()
        seen["text"] = (await until(connection, "response.done")).response.output[0].content[0].transcript
        await sound(connection, tone(0.6, 200) + silence(0.5))
        seen["audio"] = (await until(connection, "response.done")).response.output[0].content[0].transcript
        await text(connection, " ".join(["word"] * 60))
        await connection.response.create()
        delta = await until(connection, "response.output_audio.delta")
        await sound(connection, tone(0.5, 140))
        await until(connection, "input_audio_buffer.speech_started")
        seen["barge_in"] = (await until(connection, "response.done")).response.status
        await connection.conversation.item.truncate(item_id=delta.item_id, content_index=0, audio_end_ms=80)
        seen["truncated"] = (await until(connection, "conversation.item.truncated")).audio_end_ms
        await sound(connection, silence(0.5))
        await until(connection, "response.done")
        await text(connection, "call weather")
        await connection.response.create()
        call = (await until(connection, "response.done")).response.output[0]
        seen["tool"] = call.name
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        await connection.conversation.item.create(item=result)
        await connection.response.create()
        seen["tool_answer"] = (
            (await until(connection, "response.done")).response.output[0].content[0].transcript
        )
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
