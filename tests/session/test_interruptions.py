"""Who is heard while the assistant speaks: interruptions, coughs, agreement, its own echo."""

from dataclasses import replace

from assistant.session import engine as en
from assistant.session import events as ev
from tests.fakes import silence, tone
from tests.session.rig import SERVER_VAD, Rig, answered, kinds


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
    assert kinds(rig.say(en.Overheard("s", 1.0))) == ["PlaybackResumed"]
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
    assert kinds(rig.say(en.Overheard("s", 0.9))) == ["PlaybackResumed"]
    assert rig.say(en.Overheard("s", 0.1)) == []  # nobody asked again


def test_another_word_interrupts_from_where_it_began() -> None:
    rig = Rig(can_pause=True, echo_cancelled=True)
    answered(rig)
    before = rig.session.now
    rig.sound(tone(0.4) + silence(0.3))
    [started, *_] = rig.say(en.Overheard("s", 0.1))
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
    rig.score(1.0)
    rig.sound(silence(0.1))
    rig.words(1, seconds=1.5)
    assert rig.sound(tone(1.0)) == []  # the microphone hears just what is said
    person = Rig(echo_cancelled=True)
    person.sound(tone(0.5) + silence(0.1))
    person.score(1.0)
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
