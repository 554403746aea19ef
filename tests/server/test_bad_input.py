"""What a client may send and must not: each gives the documented error, and the session lives."""

import base64
import json
import struct
import zlib
from typing import Any

from assistant.config import Limits
from tests.server import rig


def png(width: int, height: int) -> str:
    """A PNG's header with these dimensions and next to no data."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = b"\x89PNG\r\n\x1a\n" + chunk + zlib.compress(bytes(40_000))
    return "data:image/png;base64," + base64.b64encode(data).decode()


def jpeg(width: int, height: int) -> str:
    """A JPEG's header with these dimensions."""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff\xe0\x00\x04ab" + frame).decode()


def message(content: Any, **fields: Any) -> dict[str, Any]:
    item = {"type": "message", "role": "user", "content": content, **fields}
    return {"type": "conversation.item.create", "item": item}


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": session}


def detection(**fields: Any) -> dict[str, Any]:
    return update(audio={"input": {"turn_detection": fields}})


def picture(url: Any) -> dict[str, Any]:
    return message([{"type": "input_image", "image_url": url}])


def append(audio: Any) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": audio}


def respond(**fields: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": fields}


TEXT = [{"type": "input_text", "text": "x"}]
DEEP = '{"type":' + "[" * 40 + "]" * 40 + "}"
BAD: list[tuple[str, Any, str]] = [
    ("empty", "", "invalid_json"),
    ("no json", "hello", "invalid_json"),
    ("half of json", '{"type": "session.up', "invalid_json"),
    ("an array", "[1, 2]", "invalid_json"),
    ("a string", '"session.update"', "invalid_json"),
    ("null", "null", "invalid_json"),
    ("NaN", '{"type": "session.update", "session": {"audio": {"output": {"speed": NaN}}}}', "invalid_json"),
    ("Infinity", '{"type": "x", "y": -Infinity}', "invalid_json"),
    ("overflow to infinity", '{"type": "x", "y": 1e999}', "invalid_json"),
    ("a huge integer", '{"type": "x", "y": ' + "9" * 5_000 + "}", "invalid_json"),
    ("nested 40 deep", DEEP, "invalid_json"),
    ("nested 200,000 deep", '{"type":' + "[" * 200_000, "invalid_json"),
    ("no type", {}, "missing_field"),
    ("a number as type", {"type": 7}, "invalid_value"),
    ("null as type", {"type": None}, "invalid_value"),
    ("unknown type", {"type": "session.destroy"}, "unknown_event"),
    ("a server event", {"type": "response.done"}, "unknown_event"),
    ("an extension that was not asked for", {"type": "vivavoce.playback.ack"}, "unknown_event"),
    ("a huge type", {"type": "x" * 300}, "invalid_value"),
    ("a huge event_id", {"type": "input_audio_buffer.clear", "event_id": "x" * 300}, "invalid_value"),
    ("a number as event_id", {"type": "input_audio_buffer.clear", "event_id": 5}, "invalid_value"),
    ("a lone surrogate", message([{"type": "input_text", "text": "\ud800"}]), "invalid_value"),
    ("append without audio", {"type": "input_audio_buffer.append"}, "missing_field"),
    ("audio that is a number", append(5), "invalid_value"),
    ("audio that is a list", append([1]), "invalid_value"),
    ("audio that is no base64", append("%%%"), "invalid_audio"),
    ("base64 with rubbish inside", append("AA!!AA=="), "invalid_audio"),
    ("base64 without its end", append("AAA"), "invalid_audio"),
    ("audio beyond ASCII", append("ÄÖÜ="), "invalid_audio"),
    ("half a sample", append("AAAA"), "invalid_audio"),
    ("commit of nothing", {"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
    ("cancel of nothing", {"type": "response.cancel"}, "response_cancel_not_active"),
    ("cancel of another", {"type": "response.cancel", "response_id": "no"}, "response_cancel_not_active"),
    ("update without session", {"type": "session.update"}, "missing_field"),
    ("session that is a list", {"type": "session.update", "session": []}, "invalid_value"),
    ("another type of session", update(type="transcription"), "invalid_value"),
    ("instructions that are a number", update(instructions=5), "invalid_value"),
    ("instructions of 70,000 characters", update(instructions="x" * 70_000), "invalid_value"),
    ("unknown modality", update(output_modalities=["smell"]), "invalid_value"),
    ("no modality", update(output_modalities=[]), "invalid_value"),
    (
        "wrong rate",
        update(audio={"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}),
        "invalid_value",
    ),
    ("unknown format", update(audio={"input": {"format": {"type": "audio/opus"}}}), "invalid_value"),
    ("unknown flat format", update(input_audio_format="mp3"), "invalid_value"),
    ("audio that is a word", update(audio="loud"), "invalid_value"),
    ("too fast", update(audio={"output": {"speed": 9.0}}), "invalid_value"),
    ("unknown detection", detection(type="magic"), "invalid_value"),
    ("unknown eagerness", detection(type="semantic_vad", eagerness="extreme"), "invalid_value"),
    ("threshold beyond 1", detection(type="server_vad", threshold=1.5), "invalid_value"),
    ("negative silence", detection(type="server_vad", silence_duration_ms=-1), "invalid_value"),
    ("silence that is true", detection(type="server_vad", silence_duration_ms=True), "invalid_value"),
    ("flag that is a word", detection(type="server_vad", create_response="yes"), "invalid_value"),
    ("tools that are an object", update(tools={}), "invalid_value"),
    ("a tool without name", update(tools=[{"type": "function"}]), "missing_field"),
    ("a tool of another kind", update(tools=[{"type": "mcp", "name": "x"}]), "invalid_value"),
    ("200 tools", update(tools=[{"type": "function", "name": "x"}] * 200), "invalid_value"),
    ("unknown tool choice", update(tool_choice="maybe"), "invalid_value"),
    ("too many tokens", update(max_output_tokens=5_000), "invalid_value"),
    ("no tokens", update(max_output_tokens=0), "invalid_value"),
    ("half a token", update(max_output_tokens=1.5), "invalid_value"),
    ("create without item", {"type": "conversation.item.create"}, "missing_field"),
    ("unknown item type", {"type": "conversation.item.create", "item": {"type": "dream"}}, "invalid_value"),
    ("unknown role", message(TEXT, role="god"), "invalid_value"),
    ("no content", message([]), "invalid_item"),
    ("content that is a word", message("hello"), "invalid_value"),
    ("part that is a word", message(["hello"]), "invalid_value"),
    ("unknown part", message([{"type": "input_video"}]), "invalid_value"),
    ("text that is a number", message([{"type": "input_text", "text": 5}]), "invalid_value"),
    ("sound without sound", message([{"type": "input_audio", "audio": ""}]), "invalid_audio"),
    ("a huge id", message(TEXT, id="x" * 300), "invalid_value"),
    ("behind an unknown item", {**message(TEXT), "previous_item_id": "no"}, "item_not_found"),
    (
        "output without call",
        {"type": "conversation.item.create", "item": {"type": "function_call_output"}},
        "missing_field",
    ),
    ("retrieve of nothing", {"type": "conversation.item.retrieve", "item_id": "no"}, "item_not_found"),
    ("delete of nothing", {"type": "conversation.item.delete", "item_id": "no"}, "item_not_found"),
    ("delete without id", {"type": "conversation.item.delete"}, "missing_field"),
    (
        "truncate of nothing",
        {"type": "conversation.item.truncate", "item_id": "no", "content_index": 0, "audio_end_ms": 0},
        "item_not_found",
    ),
    (
        "truncate to before the beginning",
        {"type": "conversation.item.truncate", "item_id": "no", "content_index": 0, "audio_end_ms": -1},
        "invalid_value",
    ),
    ("picture from elsewhere", picture("https://example.org/x.png"), "invalid_image"),
    ("picture from a file", picture("file:///etc/passwd"), "invalid_image"),
    ("picture of another kind", picture("data:image/gif;base64,R0lGODlh"), "invalid_image"),
    ("picture that is none", picture("data:image/png;base64,AAAA"), "invalid_image"),
    ("picture that is no base64", picture("data:image/png;base64,%%"), "invalid_image"),
    ("picture that is a number", picture(5), "invalid_image"),
    ("PNG bomb", picture(png(20_000, 20_000)), "image_too_large"),
    ("PNG of 4 billion by 4 billion", picture(png(2**32 - 1, 2**32 - 1)), "image_too_large"),
    ("PNG without pixels", picture(png(0, 5)), "invalid_image"),
    ("JPEG bomb", picture(jpeg(65_000, 65_000)), "image_too_large"),
    ("JPEG that ends early", picture("data:image/jpeg;base64,/9j/4AAQ"), "invalid_image"),
    ("3 MiB of picture", picture("data:image/png;base64," + "A" * 4_100_000), "image_too_large"),
    ("response that is a word", {"type": "response.create", "response": "now"}, "invalid_value"),
    ("metadata that is a list", respond(metadata=[1]), "invalid_value"),
    ("metadata of numbers", respond(metadata={"a": 1}), "invalid_value"),
    ("metadata of 20 entries", respond(metadata={str(n): "x" for n in range(20)}), "invalid_value"),
    ("unknown conversation", respond(conversation="mine"), "invalid_value"),
    (
        "unknown reference",
        respond(conversation="none", input=[{"type": "item_reference", "id": "no"}]),
        "item_not_found",
    ),
    ("input that is a word", respond(input="x"), "invalid_value"),
]


def test_there_are_many() -> None:
    assert len(BAD) >= 60


async def test_each_bad_input_gives_its_error_and_the_session_lives(client: rig.Client) -> None:
    wrong = []
    for name, sent, code in BAD:
        await client.socket.send(sent if isinstance(sent, str) else json.dumps(sent))
        event = await client.next()
        got = event["error"]["code"] if event["type"] == "error" else event["type"]
        if got != code or (event["type"] == "error" and not event["error"]["message"]):
            wrong.append((name, got, code))
    assert wrong == []
    assert (await client.ask("still there"))["status"] == "completed"


async def test_errors_echo_the_event_id_and_name_the_field(client: rig.Client) -> None:
    await client.socket.send(json.dumps({**update(audio={"output": {"speed": 9}}), "event_id": "mine"}))
    error = (await client.until("error"))["error"]
    assert error["event_id"] == "mine"
    assert error["param"] == "session.audio.output.speed"
    assert error["type"] == "invalid_request_error"


async def test_a_refused_update_changes_nothing(client: rig.Client) -> None:
    await client.send("session.update", session={"instructions": "new", "max_output_tokens": 0})
    await client.until("error")
    await client.send("session.update", session={})
    session = (await client.until("session.updated"))["session"]
    assert session["instructions"] != "new"


async def test_duplicate_ids(client: rig.Client) -> None:
    for _ in range(2):
        await client.socket.send(json.dumps(message(TEXT, id="same")))
    assert (await client.until("error"))["error"]["code"] == "duplicate_item"


async def test_truncate_past_the_end(client: rig.Client) -> None:
    response = await client.ask("hello")
    item = response["output"][0]["id"]
    await client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=9_999)
    error = (await client.until("error"))["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "audio_end_ms")


async def test_binary_messages(client: rig.Client) -> None:
    await client.socket.send(b"\x00\x01")
    assert (await client.until("error"))["error"]["code"] == "invalid_json"


async def test_an_oversized_message_closes_with_1009() -> None:
    async with rig.daemon(limits=Limits(message_bytes=65_536)) as running, rig.client(running) as client:
        await client.socket.send("x" * 66_000)
        await client.socket.wait_closed()
        assert client.socket.close_code == 1009


async def test_sound_faster_than_allowed() -> None:
    async with rig.daemon(limits=Limits(audio_buffer_s=2.0)) as running, rig.client(running) as client:
        await client.sound(bytes(2 * 24_000 * 4))
        assert (await client.until("error"))["error"]["code"] == "rate_limit_exceeded"
        assert (await client.ask("still there"))["status"] == "completed"
