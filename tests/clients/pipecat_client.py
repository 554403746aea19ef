"""pipecat-ai: text, a spoken turn, a barge-in and a tool call. Prints what it saw as JSON."""

import asyncio
import json
import sys

from pipecat.adapters.schemas.function_schema import FunctionSchema
from pipecat.adapters.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from sounds import RATE, packets, silence, tone


class Listener(FrameProcessor):
    """Collects what comes out of the service."""

    def __init__(self):
        super().__init__()
        self.frames = asyncio.Queue()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(
            frame,
            TTSAudioRawFrame
            | TTSTextFrame
            | LLMFullResponseEndFrame
            | UserStartedSpeakingFrame
            | InterruptionFrame,
        ):
            self.frames.put_nowait(frame)
        await self.push_frame(frame, direction)

    async def until(self, kind):
        words = []
        while True:
            frame = await self.frames.get()
            if isinstance(frame, TTSTextFrame):
                words.append(frame.text)
            if isinstance(frame, kind):
                return "".join(words)


async def main(port):
    seen, called = {}, []
    schema = FunctionSchema(name="weather", description="Look outside.", properties={}, required=[])
    service = OpenAIRealtimeLLMService(api_key="any", base_url=f"ws://127.0.0.1:{port}/v1/realtime")

    async def weather(params):
        called.append("weather")
        await params.result_callback("rain")

    service.register_function("weather", weather)
    context = LLMContext([{"role": "user", "content": "hello"}], ToolsSchema(standard_tools=[schema]))
    pair = LLMContextAggregatorPair(context)
    listener = Listener()
    task = PipelineTask(Pipeline([pair.user(), service, listener, pair.assistant()]), params=PipelineParams())
    running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))

    async def sound(pcm):
        for packet in packets(pcm):
            await task.queue_frame(InputAudioRawFrame(packet, RATE, 1))

    async def ask(text):
        await service.queue_frame(LLMMessagesAppendFrame([{"role": "user", "content": text}], run_llm=True))

    await task.queue_frame(LLMRunFrame())
    seen["text"] = await listener.until(LLMFullResponseEndFrame)
    await sound(tone(0.6, 200) + silence(1.0))
    seen["audio"] = await listener.until(LLMFullResponseEndFrame)
    await ask("call weather")
    answer = ""
    while not called or not answer:
        answer = await listener.until(LLMFullResponseEndFrame)
    seen["tool"], seen["tool_answer"] = called[0], answer
    await ask(" ".join(["word"] * 60))
    await listener.until(TTSAudioRawFrame)
    await sound(tone(0.5, 140))
    await listener.until(UserStartedSpeakingFrame | InterruptionFrame)
    seen["barge_in"] = True
    print(json.dumps(seen), flush=True)
    await task.cancel()
    await running


asyncio.run(main(sys.argv[1]))
