"""The session core, with the test speaking for the engine."""

from dataclasses import replace

import pytest

from assistant.session import engine as en
from assistant.session import events as ev
from assistant.session.errors import Refused
from assistant.session.items import Item, Part
from assistant.session.settings import ReplyOptions, Settings, Tool, TurnDetection
from tests.fakes import silence, tone
from tests.session.rig import SERVER_VAD, Rig, answered, kinds


def test_a_finished_question_is_answered_after_200_ms() -> None:
    rig = Rig()
    assert kinds(rig.sound(silence(0.5) + tone(1.0))) == ["SpeechStarted"]
    assert rig.sound(silence(0.1)) == []
    assert rig.engine.names()[-2:] == ["EndAudio", "Answer"]  # begun at 100 ms, unheard
    assert rig.words(1) == []
    assert rig.score(1.0) == []
    events = rig.sound(silence(0.1))
    assert kinds(events) == [
        "SpeechStopped",
        "Committed",
        "ItemAdded",
        "ReplyStarted",
        "OutputStarted",
        "Said",
        "Sounded",
    ]
    stopped = events[0]
    assert isinstance(stopped, ev.SpeechStopped)
    assert stopped.end == 36_000
    assert stopped.decided - stopped.end == 4_800
    assert kinds(rig.done(1)) == ["OutputEnded", "ReplyEnded"]


def test_an_unfinished_question_is_waited_for() -> None:
    rig = Rig()
    rig.sound(tone(1.0) + silence(0.1))
    rig.words(1)
    rig.score(0.1)
    cancel = rig.engine.last(en.Cancel)
    assert cancel == en.Cancel("s", 1, 0, reopen=True)
    assert rig.words(1) == []  # late news of it are dropped
    assert rig.done(1, "cancelled") == []
    assert rig.sound(silence(1.0)) == []
    heard = [command for command in rig.engine.commands if isinstance(command, en.Hear)]
    assert all(a.start + len(a.pcm) // 2 == b.start for a, b in zip(heard, heard[1:], strict=False))
    assert kinds(rig.sound(tone(0.5) + silence(0.1)) + rig.score(1.0)) == []
    assert kinds(rig.sound(silence(0.1)))[:2] == ["SpeechStopped", "Committed"]


def test_the_cap_ends_an_unfinished_turn() -> None:
    rig = Rig(turn_detection=TurnDetection(eagerness="high"))
    rig.sound(tone(0.5) + silence(0.2))
    rig.score(0.0)
    assert rig.sound(silence(1.0)) == []
    assert kinds(rig.sound(silence(0.1)))[-1] == "ReplyStarted"


def test_server_vad_goes_by_silence() -> None:
    rig = Rig(turn_detection=SERVER_VAD)
    rig.sound(tone(0.5) + silence(0.2))
    rig.score(0.0)
    events = rig.sound(silence(0.1))
    assert kinds(events) == ["SpeechStopped", "Committed", "ItemAdded", "ReplyStarted"]


def test_without_create_response_the_client_asks() -> None:
    rig = Rig(turn_detection=replace(SERVER_VAD, create_response=False))
    events = rig.sound(tone(0.5) + silence(0.4))
    assert kinds(events) == ["SpeechStarted", "SpeechStopped", "Committed", "ItemAdded"]
    assert "Answer" not in rig.engine.names()
    assert kinds(rig.do(ev.CreateReply(ReplyOptions()))) == ["ReplyStarted"]


def test_push_to_talk() -> None:
    rig = Rig(turn_detection=None)
    assert rig.sound(tone(0.3) + silence(2.0)) == []
    assert "Answer" not in rig.engine.names()
    assert kinds(rig.do(ev.CommitAudio())) == ["Committed", "ItemAdded"]
    assert rig.engine.names()[-1] == "EndAudio"
    assert kinds(rig.do(ev.CreateReply(ReplyOptions()))) == ["ReplyStarted"]


def test_a_cleared_buffer_is_forgotten() -> None:
    rig = Rig(turn_detection=None)
    rig.sound(tone(0.3))
    assert kinds(rig.do(ev.ClearAudio())) == ["Cleared"]
    assert rig.engine.names()[-1] == "DropAudio"
    with pytest.raises(Refused, match="less than 100 ms"):
        rig.do(ev.CommitAudio())


def test_a_text_turn() -> None:
    rig = Rig()
    assert kinds(rig.type("hello")) == ["ItemAdded"]
    assert kinds(rig.do(ev.CreateReply(ReplyOptions(aloud=False, metadata={"a": "b"})))) == ["ReplyStarted"]
    assert rig.engine.names() == ["Open", "AddText", "Answer"]
    assert not rig.answer().aloud
    assert kinds(rig.say(en.TextPiece("s", 1, "Hi.", 1))) == ["OutputStarted", "Said"]
    with pytest.raises(Refused) as refused:
        rig.do(ev.CreateReply(ReplyOptions()))
    assert refused.value.code == "conversation_already_has_active_response"
    assert kinds(rig.done(1)) == ["OutputEnded", "ReplyEnded"]


def test_a_tool_call_and_its_result() -> None:
    rig = Rig(tools=(Tool("weather", "Look outside.", '{"type": "object"}'),))
    rig.type("Is it raining?")
    rig.do(ev.CreateReply(ReplyOptions()))
    opened = rig.engine.last(en.Open)
    assert isinstance(opened, en.Open)
    assert '{"name": "weather"' in opened.instructions
    assert rig.answer().tools
    events = rig.say(en.ToolCall("s", 1, "weather", '{"place": "Bonn"}')) + rig.done(1, "tool_call")
    assert kinds(events) == ["OutputStarted", "OutputEnded", "ReplyEnded"]
    ended = events[-1]
    assert isinstance(ended, ev.ReplyEnded)
    call = ended.items[0]
    assert (ended.status, call.name, call.arguments) == ("completed", "weather", '{"place": "Bonn"}')
    rig.do(ev.CreateItem(Item("", "function_call_output", call_id=call.call_id, output="rain")))
    text = rig.engine.last(en.AddText)
    assert isinstance(text, en.AddText)
    assert (text.role, text.text) == ("tool", "rain")
    assert kinds(rig.do(ev.CreateReply(ReplyOptions()))) == ["ReplyStarted"]


def test_new_instructions_rewrite_the_conversation_before_the_next_answer() -> None:
    rig = Rig()
    rig.type("hello")
    rig.do(ev.Configure(Settings(instructions="Be brief.")))
    rig.do(ev.CreateReply(ReplyOptions()))
    assert rig.engine.names() == ["Open", "AddText", "Rebuild", "Answer"]


def test_an_item_in_the_middle_and_a_deleted_one_rewrite_it_too() -> None:
    rig = Rig()
    rig.type("one")
    first = rig.session.handle(ev.CreateItem(Item("two", role="user", parts=(Part("text", "2"),)), "root"))
    assert isinstance(first[0], ev.ItemAdded)
    assert first[0].previous is None
    rig.do(ev.CreateReply(ReplyOptions()))
    rebuilt = rig.engine.last(en.Rebuild)
    assert isinstance(rebuilt, en.Rebuild)
    assert rebuilt.items == ("two", "item_1")
    rig.done(1)
    rig.do(ev.DeleteItem("two"))
    rig.do(ev.CreateReply(ReplyOptions()))
    rebuilt = rig.engine.last(en.Rebuild)
    assert isinstance(rebuilt, en.Rebuild)
    assert rebuilt.items == ("item_1",)


def test_an_answer_outside_the_conversation() -> None:
    rig = Rig()
    rig.type("hello")
    options = ReplyOptions(detached=True, input=(Item("", role="user", parts=(Part("text", "classify"),)),))
    assert kinds(rig.do(ev.CreateReply(options))) == ["ReplyStarted"]
    name = rig.answer().session
    assert name != "s"
    events = rig.say(en.TextPiece(name, 1, "ok", 1), en.AnswerDone(name, 1, "stop", en.Usage()))
    assert kinds(events) == ["OutputStarted", "Said", "OutputEnded", "ReplyEnded"]
    assert rig.engine.commands[-1] == en.Close(name)
    with pytest.raises(Refused):
        rig.do(ev.RetrieveItem(rig.answer().item))


def test_silence_for_long_is_spoken_to() -> None:
    rig = Rig(turn_detection=TurnDetection(idle_timeout_ms=1_000))
    assert rig.sound(silence(3.0)) == []  # nobody has spoken yet
    answered(rig, 0.5)
    rig.done(1)
    assert kinds(rig.sound(silence(2.0))) == ["TimedOut", "Committed", "ItemAdded", "ReplyStarted"]


def test_camera_frames_the_newest_wins_at_two_a_second() -> None:
    rig = Rig()
    rig.do(ev.AppendAudio(b"", (b"old", b"new")))
    rig.sound(tone(0.3))
    for n in range(10):
        rig.do(ev.AppendAudio(tone(0.1), (b"%d" % n,)))
    frames = [command.image for command in rig.engine.commands if isinstance(command, en.AddFrame)]
    assert frames == [b"new", b"2", b"7"]


def test_transcripts_are_asked_for_and_told() -> None:
    rig = Rig(transcribe=True, turn_detection=None)
    rig.sound(tone(0.5))
    rig.do(ev.CommitAudio())
    asked = rig.engine.last(en.Transcribe)
    assert isinstance(asked, en.Transcribe)
    events = rig.say(
        en.Transcript("s", asked.item, "hello ", False), en.Transcript("s", asked.item, "you", True)
    )
    assert [event.text for event in events if isinstance(event, ev.Transcribed)] == ["hello ", "hello you"]


def test_a_failed_answer_leaves_the_session_alive() -> None:
    rig = Rig()
    rig.type("hello")
    rig.do(ev.CreateReply(ReplyOptions()))
    events = rig.say(en.Failed("s", "it broke", answer=1))
    assert kinds(events) == ["Problem", "ReplyEnded"]
    assert kinds(rig.do(ev.CreateReply(ReplyOptions()))) == ["ReplyStarted"]


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (ev.CancelReply(), "response_cancel_not_active"),
        (ev.CommitAudio(), "input_audio_buffer_commit_empty"),
        (ev.RetrieveItem("no"), "item_not_found"),
        (ev.DeleteItem("no"), "item_not_found"),
        (ev.TruncateItem("no", 0, 0), "item_not_found"),
        (ev.TruncateItem("item_1", 0, 0), "invalid_item"),
        (ev.CreateItem(Item("item_1", role="user", parts=(Part("text", "x"),))), "duplicate_item"),
        (ev.CreateItem(Item("x", role="user", parts=(Part("text", "x"),)), "no"), "item_not_found"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(event: ev.ClientEvent, code: str) -> None:
    rig = Rig()
    rig.type("hello")
    before = list(rig.engine.commands)
    with pytest.raises(Refused) as refused:
        rig.do(event)
    assert refused.value.code == code
    assert rig.engine.commands == before
