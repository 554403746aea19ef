"""The session core, with the test speaking for the engine."""

from dataclasses import replace

import pytest

from assistant.session import engine as en
from assistant.session import events as ev
from assistant.session.errors import Refused
from assistant.session.items import Item, Part
from assistant.session.session import Session
from assistant.session.settings import ReplyOptions, Settings, Tool, TurnDetection
from tests.fakes import FakeEngine, LoudVoice, counter, silence, tone

SERVER_VAD = TurnDetection(kind="server_vad", silence_duration_ms=300)


class Rig:
    """A session whose engine is the test."""

    def __init__(self, **settings: object) -> None:
        self.engine = FakeEngine()
        self.session = Session("s", self.engine, LoudVoice(), counter(), lambda report: None)
        if settings:
            self.do(ev.Configure(replace(Settings(), **settings)))

    def do(self, event: ev.ClientEvent) -> list[ev.SessionEvent]:
        return self.session.handle(event)

    def sound(self, pcm: bytes) -> list[ev.SessionEvent]:
        """Append in packets of 20 ms, as a microphone does."""
        found: list[ev.SessionEvent] = []
        for at in range(0, len(pcm), 960):
            found += self.do(ev.AppendAudio(pcm[at : at + 960]))
        return found

    def say(self, *reports: en.Report) -> list[ev.SessionEvent]:
        found: list[ev.SessionEvent] = []
        for report in reports:
            found += self.session.report(report)
        return found

    def score(self, finished: float) -> list[ev.SessionEvent]:
        return self.say(en.TurnScore("s", self.session.now, finished, 0.0))

    def type(self, text: str) -> list[ev.SessionEvent]:
        item = Item("", role="user", parts=(Part("text", text),))
        return self.do(ev.CreateItem(item))

    def answer(self) -> en.Answer:
        command = self.engine.last(en.Answer)
        assert isinstance(command, en.Answer)
        return command

    def words(self, number: int, text: str = "Hello there.", seconds: float = 1.0) -> list[ev.SessionEvent]:
        piece = en.AudioPiece("s", number, tone(seconds), 0, b"", len(text))
        return self.say(en.TextPiece("s", number, text, 3), piece)

    def done(self, number: int, reason: str = "stop") -> list[ev.SessionEvent]:
        return self.say(en.AnswerDone("s", number, reason, en.Usage(input_text=5, output_text=3)))


def kinds(events: list[ev.SessionEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_finished_question_is_answered_after_200_ms() -> None:
    rig = Rig()
    assert kinds(rig.sound(silence(0.5) + tone(1.0))) == ["SpeechStarted"]
    assert rig.sound(silence(0.1)) == []
    assert rig.engine.names()[-2:] == ["EndAudio", "Answer"]  # begun at 100 ms, unheard
    assert rig.words(1) == []
    assert rig.score(0.9) == []
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
    assert kinds(rig.sound(tone(0.5) + silence(0.1)) + rig.score(0.9)) == []
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


def answered(rig: Rig, seconds: float = 2.0) -> str:
    """A spoken question and an answer that sounds for so long; gives the answer's item."""
    rig.sound(tone(0.5) + silence(0.1))
    rig.score(0.9)
    rig.sound(silence(0.1))
    number = rig.answer().answer
    for n in range(int(seconds * 5)):
        piece = en.AudioPiece("s", number, tone(0.2, 150.0, 0.01), n * 4_800, b"", (n + 1) * 5)
        rig.say(en.TextPiece("s", number, "word ", 1), piece)
    return rig.answer().item


def test_barge_in_stops_the_answer_and_keeps_what_was_heard() -> None:
    rig = Rig()
    item = answered(rig)
    events = rig.sound(silence(0.6) + tone(0.4))
    started = events[0]
    assert isinstance(started, ev.SpeechStarted)
    assert started.interrupted is not None
    assert started.decided - started.onset <= 4_800  # 200 ms
    cancel = rig.engine.last(en.Cancel)
    assert isinstance(cancel, en.Cancel)
    assert not cancel.reopen
    assert abs(cancel.heard - 24_000 * 0.74) < 2_400
    ended = rig.done(cancel.answer, "cancelled")
    assert kinds(ended) == ["OutputEnded", "ReplyEnded"]
    assert isinstance(ended[1], ev.ReplyEnded)
    assert (ended[1].status, ended[1].reason) == ("cancelled", "turn_detected")
    assert isinstance(ended[0], ev.OutputEnded)
    assert ended[0].item.parts[0].text == "word word word word "
    truncated = rig.do(ev.TruncateItem(item, 0, 400))
    assert kinds(truncated) == ["ItemTruncated"]
    assert rig.engine.last(en.Truncate) == en.Truncate("s", cancel.answer, item, 9_600)
    shown = rig.do(ev.RetrieveItem(item))[0]
    assert isinstance(shown, ev.ItemRetrieved)
    assert shown.item.parts[0].text == "word word "


def test_barge_in_after_the_answer_was_made_shortens_it() -> None:
    rig = Rig()
    item = answered(rig)
    rig.done(1)
    events = rig.sound(silence(0.4) + tone(0.4))
    assert isinstance(events[0], ev.SpeechStarted)
    assert events[0].interrupted is not None
    assert "Cancel" not in rig.engine.names()
    truncate = rig.engine.last(en.Truncate)
    assert isinstance(truncate, en.Truncate)
    assert truncate.item == item


def test_speech_after_the_answer_was_heard_interrupts_nothing() -> None:
    rig = Rig()
    answered(rig, 1.0)
    rig.done(1)
    events = rig.sound(silence(1.5) + tone(0.4))
    assert isinstance(events[0], ev.SpeechStarted)
    assert events[0].interrupted is None


def test_time_without_sound_counts_as_heard() -> None:
    rig = Rig()
    answered(rig, 1.0)
    rig.done(1)
    rig.do(ev.Elapsed(48_000))
    events = rig.sound(tone(0.4))
    assert isinstance(events[0], ev.SpeechStarted)
    assert events[0].interrupted is None


def test_a_cough_pauses_a_client_that_can_and_stops_none() -> None:
    rig = Rig(can_pause=True)
    answered(rig)
    click = bytes(960) + tone(0.1, 90.0) + silence(0.6)
    assert kinds(rig.sound(click)) == ["PlaybackPaused"]
    assert kinds(rig.say(en.Overheard("s", ""))) == ["PlaybackResumed"]
    plain = Rig()
    answered(plain)
    assert plain.sound(click) == []


def test_an_agreeing_word_only_holds_the_loudspeaker() -> None:
    rig = Rig(can_pause=True, echo_cancelled=True)
    answered(rig)
    burst = tone(0.4)
    assert kinds(rig.sound(burst + silence(0.3))) == ["PlaybackPaused"]
    asked = rig.engine.last(en.Overhear)
    assert isinstance(asked, en.Overhear)
    assert burst in asked.pcm
    assert kinds(rig.say(en.Overheard("s", "uh-huh"))) == ["PlaybackResumed"]
    assert rig.say(en.Overheard("s", "stop")) == []  # nobody asked again


def test_another_word_interrupts_from_where_it_began() -> None:
    rig = Rig(can_pause=True, echo_cancelled=True)
    answered(rig)
    before = rig.session.now
    rig.sound(tone(0.4) + silence(0.3))
    [started, *_] = rig.say(en.Overheard("s", "stop"))
    assert isinstance(started, ev.SpeechStarted)
    assert started.interrupted is not None
    assert abs(started.onset - before) <= 480
    rig.sound(silence(0.2))
    heard = [command for command in rig.engine.commands if isinstance(command, en.Hear)]
    first = next(command for command in heard if command.item == started.item_id)
    assert first.start <= before  # the word itself is heard


def test_an_echo_stops_nothing() -> None:
    rig = Rig()
    rig.sound(tone(0.5) + silence(0.1))
    rig.score(0.9)
    rig.sound(silence(0.1))
    rig.words(1, seconds=1.5)
    assert rig.sound(tone(1.0)) == []  # the microphone hears just what is said
    person = Rig(echo_cancelled=True)
    person.sound(tone(0.5) + silence(0.1))
    person.score(0.9)
    person.sound(silence(0.1))
    person.words(1, seconds=1.5)
    assert kinds(person.sound(tone(1.0)))[0] == "SpeechStarted"


def test_without_interrupt_response_the_answer_goes_on() -> None:
    rig = Rig(turn_detection=replace(SERVER_VAD, interrupt_response=False), echo_cancelled=True)
    rig.sound(tone(0.5) + silence(0.4))
    rig.words(1, seconds=3.0)
    events = rig.sound(tone(0.5) + silence(0.4))
    assert kinds(events) == ["SpeechStarted", "SpeechStopped", "Committed", "ItemAdded"]
    assert "Cancel" not in rig.engine.names()
    assert kinds(rig.done(1)) == ["OutputEnded", "ReplyEnded", "ReplyStarted"]


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
