"""Server events in, effects out, in the native client."""

import base64
from typing import Any

from assistant.client import conversation as effects
from assistant.client.conversation import Conversation

TEXT = "Good morning to you all"
PLACE = {"response_id": "r1", "item_id": "a1", "output_index": 0, "content_index": 0}


def answering() -> Conversation:
    conversation = Conversation()
    conversation.receive({"type": "response.created", "response": {"id": "r1"}})
    item = {"id": "a1", "type": "message"}
    conversation.receive({"type": "response.output_item.added", "response_id": "r1", "item": item})
    conversation.receive({"type": "response.output_audio_transcript.delta", **PLACE, "delta": TEXT})
    return conversation


def sound(conversation: Conversation, start_ms: int, samples: int, text_end: int | None) -> list[Any]:
    extra = {} if text_end is None else {"vivavoce": {"start_ms": start_ms, "text_end": text_end}}
    delta = base64.b64encode(bytes(2 * samples)).decode()
    return conversation.receive({"type": "response.output_audio.delta", **PLACE, "delta": delta, **extra})


def done(conversation: Conversation, status: str) -> list[Any]:
    return conversation.receive({"type": "response.done", "response": {"id": "r1", "status": status}})


def test_a_spoken_turn_from_end_to_end() -> None:
    conversation = Conversation()
    conversation.receive({"type": "input_audio_buffer.speech_started"})
    assert conversation.state == "hearing"
    stopped = conversation.receive({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 900})
    assert stopped == [effects.Stopped(900)]
    conversation = answering()
    [play] = sound(conversation, 0, 24_000, len(TEXT))
    assert (play.answer, play.start, len(play.pcm)) == ("a1", 0, 48_000)
    conversation.started()
    assert conversation.receive({"type": "response.output_audio.done", **PLACE}) == [effects.End("a1")]
    done(conversation, "completed")
    assert conversation.state == "speaking"
    conversation.moved("a1", 12_000)
    line = conversation.captions.get("a1")
    assert line is not None
    assert line.heard_chars == 11
    conversation.finished("a1")
    assert conversation.state == "listening"
    assert line.heard_chars == len(TEXT)


def test_an_interruption_keeps_what_was_heard() -> None:
    conversation = answering()
    sound(conversation, 0, 12_000, 12)
    sound(conversation, 500, 12_000, len(TEXT))
    conversation.started()
    assert conversation.receive({"type": "input_audio_buffer.speech_started"}) == [effects.Flush("a1")]
    assert sound(conversation, 1_000, 12_000, len(TEXT)) == []
    [show, send] = conversation.cut_off("a1", 12_000)
    assert show.line.text == "Good morning"
    assert show.line.interrupted
    assert send.event["audio_end_ms"] == 500
    assert not any(isinstance(effect, effects.Flush) for effect in done(conversation, "cancelled"))


def test_stopping_tells_the_daemon_only_while_it_is_at_it() -> None:
    conversation = answering()
    sound(conversation, 0, 24_000, len(TEXT))
    assert isinstance(conversation.stop()[0], effects.Send)
    conversation = answering()
    sound(conversation, 0, 24_000, len(TEXT))
    done(conversation, "completed")
    assert conversation.stop() == [effects.Flush("a1")]


def test_an_answer_stopped_before_it_sounds_never_sounds() -> None:
    conversation = answering()
    conversation.stop()
    assert sound(conversation, 0, 24_000, len(TEXT)) == []


def test_coughs_hold_the_sound_only_while_there_is_some() -> None:
    conversation = answering()
    assert conversation.receive({"type": "vivavoce.playback.pause"}) == []
    sound(conversation, 0, 24_000, len(TEXT))
    assert conversation.receive({"type": "vivavoce.playback.pause"}) == [effects.Pause(True)]
    assert conversation.receive({"type": "vivavoce.playback.resume"}) == [effects.Pause(False)]


def test_captions_follow_the_sound_without_the_extension_too() -> None:
    conversation = answering()
    sound(conversation, 0, 24_000, None)
    [second] = sound(conversation, 0, 24_000, None)
    assert second.start == 24_000
    conversation.moved("a1", 24_000)
    line = conversation.captions.get("a1")
    assert line is not None
    assert line.heard_chars == len(TEXT) // 2


def test_transcripts_written_messages_errors_and_the_unknown() -> None:
    conversation = Conversation()
    conversation.receive({"type": "input_audio_buffer.committed", "item_id": "u1"})
    prefix = "conversation.item.input_audio_transcription"
    conversation.receive({"type": f"{prefix}.delta", "item_id": "u1", "delta": " Hel"})
    conversation.receive({"type": f"{prefix}.completed", "item_id": "u1", "transcript": " Hello "})
    assert [line.text for line in conversation.captions.lines] == ["Hello"]
    content = [{"type": "input_text", "text": "Typed"}]
    item = {"id": "u2", "type": "message", "role": "user", "content": content}
    conversation.receive({"type": "conversation.item.added", "item": item})
    assert conversation.captions.lines[1].text == "Typed"
    error = {"code": "engine_error", "message": "The model failed."}
    assert conversation.receive({"type": "error", "error": error}) == [
        effects.Problem("engine_error", "The model failed.")
    ]
    assert conversation.receive({"type": "response.telepathy.delta"}) == []
