"""Whole turns over a real websocket, and the order of their events."""

import base64

import pytest

from assistant.server.daemon import Daemon
from tests.fakes import silence, tone
from tests.server import rig

ANSWER = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "conversation.item.created",
    "response.content_part.added",
]
ANSWER_END = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.created",
    "conversation.item.done",
]


async def test_greeting(running: Daemon) -> None:
    async with rig.client(running) as client:
        assert client.kinds() == ["session.created", "conversation.created"]
        session = client.seen[0]["session"]
        assert session["type"] == "realtime"
        assert session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
        assert "vivavoce" not in client.seen[0]


async def test_a_text_turn_with_sound(client: rig.Client) -> None:
    client.seen.clear()
    response = await client.ask("hello", metadata={"client_event_id": "x"})
    kinds = [kind for kind in client.kinds() if not kind.endswith(".delta")]
    assert kinds == [
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.done",
        *ANSWER,
        *ANSWER_END,
    ]
    assert response["status"] == "completed"
    assert response["metadata"] == {"client_event_id": "x"}
    assert response["usage"]["output_tokens"] == 4
    assert response["usage"]["total_tokens"] == response["usage"]["input_tokens"] + 4
    spoken = "".join(m["delta"] for m in client.seen if m["type"] == "response.output_audio_transcript.delta")
    assert spoken == response["output"][0]["content"][0]["transcript"] == "You said hello . "
    sound = [base64.b64decode(m["delta"]) for m in client.seen if m["type"] == "response.output_audio.delta"]
    assert sum(map(len, sound)) == 4 * 2 * 1_920
    assert all(message["event_id"] for message in client.seen)


async def test_a_text_turn_without_sound(client: rig.Client) -> None:
    response = await client.ask("hello", output_modalities=["text"])
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "You said hello . "}]
    assert "response.output_audio.delta" not in client.kinds()


async def test_a_spoken_turn(client: rig.Client) -> None:
    await client.send(
        "session.update",
        session={"type": "realtime", "audio": {"input": {"transcription": {"model": "any"}}}},
    )
    await client.until("session.updated")
    client.seen.clear()
    await client.sound(silence(0.2) + tone(1.0) + silence(0.6))
    await client.until("conversation.item.input_audio_transcription.completed")
    await client.until("rate_limits.updated") if "rate_limits.updated" not in client.kinds() else None
    kinds = [k for k in client.kinds() if not k.endswith((".delta", "transcription.completed"))]
    assert kinds == [*TURN, *ANSWER, *ANSWER_END]
    started, stopped = client.seen[0], client.seen[1]
    assert started["audio_start_ms"] == 0  # 300 ms of padding before 200 ms, cut at the beginning
    assert stopped["audio_end_ms"] == 1_200


async def test_barge_in_and_truncation(client: rig.Client) -> None:
    await client.type(" ".join(["word"] * 60))
    await client.send("response.create")
    delta = await client.until("response.output_audio.delta")
    await client.sound(silence(0.5) + tone(0.6, 140.0))
    await client.until("input_audio_buffer.speech_started")
    done = await client.until("response.done")
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"]["reason"] == "turn_detected"
    await client.send(
        "conversation.item.truncate", item_id=delta["item_id"], content_index=0, audio_end_ms=160
    )
    await client.until("conversation.item.truncated")
    await client.send("conversation.item.retrieve", item_id=delta["item_id"])
    item = (await client.until("conversation.item.retrieved"))["item"]
    assert item["content"][0]["transcript"] == "You said word "


async def test_a_tool_call_and_its_result(client: rig.Client) -> None:
    tool = {"type": "function", "name": "weather", "description": "", "parameters": {"type": "object"}}
    await client.send("session.update", session={"tools": [tool]})
    response = await client.ask("call weather")
    call = response["output"][0]
    assert (call["type"], call["name"], call["arguments"]) == ("function_call", "weather", '{"x": 1}')
    assert "response.function_call_arguments.done" in client.kinds()
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
    await client.send("conversation.item.create", item=result)
    await client.send("response.create")
    done = await client.until("response.done")
    assert "rain" in done["response"]["output"][0]["content"][0]["transcript"]


async def test_push_to_talk(client: rig.Client) -> None:
    await client.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
    await client.sound(tone(0.5) + silence(1.0))
    await client.send("input_audio_buffer.commit")
    await client.until("input_audio_buffer.committed")
    assert "response.created" not in client.kinds()
    await client.send("response.create")
    done = await client.until("response.done")
    assert "1.5 seconds" in done["response"]["output"][0]["content"][0]["transcript"]


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
async def test_telephone_formats(client: rig.Client, kind: str) -> None:
    shape = {"type": kind}
    both = {"input": {"format": shape, "turn_detection": None}, "output": {"format": shape}}
    await client.send("session.update", session={"audio": both})
    quiet = base64.b64encode(bytes([0xFF if kind == "audio/pcmu" else 0xD5]) * 8_000).decode()
    await client.send("input_audio_buffer.append", audio=quiet)
    await client.send("input_audio_buffer.commit")
    await client.send("response.create")
    done = await client.until("response.done")
    assert "1.0 seconds" in done["response"]["output"][0]["content"][0]["transcript"]
    sound = [base64.b64decode(m["delta"]) for m in client.seen if m["type"] == "response.output_audio.delta"]
    assert abs(sum(map(len, sound)) - len(sound) * 640) <= 1


async def test_beta_spellings(running: Daemon) -> None:
    headers = {"OpenAI-Beta": "realtime=v1"}
    async with rig.client(running, additional_headers=headers) as client:
        flat = {
            "modalities": ["text", "audio"],
            "input_audio_format": "pcm16",
            "voice": "alloy",
            "turn_detection": None,
        }
        await client.send("session.update", session=flat)
        session = (await client.until("session.updated"))["session"]
        assert session["audio"]["input"]["turn_detection"] is None
        assert session["audio"]["output"]["voice"] == "alloy"
        await client.ask("hello")
        assert "response.audio.delta" in client.kinds()
        assert "response.audio_transcript.done" in client.kinds()
        assert "conversation.item.added" not in client.kinds()


async def test_an_answer_outside_the_conversation(client: rig.Client) -> None:
    content = [{"type": "input_text", "text": "classify"}]
    response = await client.ask(
        "hello", conversation="none", input=[{"type": "message", "role": "user", "content": content}]
    )
    assert response["conversation_id"] is None
    assert response["output"][0]["content"][0]["transcript"] == "You said classify . "


async def test_two_answers_at_once_are_refused(client: rig.Client) -> None:
    await client.type(" ".join(["word"] * 60))
    await client.send("response.create")
    await client.send("response.create", event_id="second")
    error = (await client.until("error"))["error"]
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "second")
    await client.send("response.cancel")
    done = await client.until("response.done")
    assert done["response"]["status_details"]["reason"] == "client_cancelled"
    assert (await client.ask("again"))["status"] == "completed"


async def test_max_output_tokens(client: rig.Client) -> None:
    response = await client.ask("one two three four", max_output_tokens=3)
    assert response["status"] == "incomplete"
    assert response["status_details"]["reason"] == "max_output_tokens"


async def test_extensions(running: Daemon) -> None:
    async with rig.client(running, "&vivavoce=1") as client:
        extension = client.seen[0]["vivavoce"]
        assert extension["resume_window_s"] == 30
        await client.sound(tone(0.8) + silence(0.5))
        await client.until("vivavoce.timing")
        deltas = [m for m in client.seen if m["type"] == "response.output_audio.delta"]
        assert deltas[0]["vivavoce"]["start_ms"] == 0
        assert (
            len(base64.b64decode(deltas[0]["vivavoce"]["mel"])) == deltas[0]["vivavoce"]["mel_frames"] * 100
        )
        timing = client.seen[-1]
        assert (
            timing["asked_ms"]
            <= timing["heard_ms"]
            <= timing["text_ms"]
            <= timing["audio_ms"]
            <= timing["sent_ms"]
        )
        await client.until("response.done")
        numbers = [message["server_event_seq"] for message in client.seen]
        assert numbers == list(range(1, len(numbers) + 1))
