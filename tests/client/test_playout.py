"""The native client's jitter buffer, clocks and pace guard."""

from array import array

from assistant.client.playout import Playout, PlayoutEvent, Position
from assistant.client.sound import PaceGuard, RateConverter
from assistant.client.timing import AckScheduler, InputClock, VoiceToVoice

BLOCK = 480


def ramp(start: int, count: int) -> bytes:
    return array("h", range(start + 1, start + count + 1)).tobytes()


def play(playout: Playout, blocks: int) -> tuple[list[int], list[PlayoutEvent]]:
    heard, events = array("h"), []
    for _ in range(blocks):
        pcm, happened, _ = playout.render(BLOCK)
        heard.frombytes(pcm)
        events += happened
    return heard.tolist(), events


def kinds(events: list[PlayoutEvent]) -> list[tuple[str, int]]:
    return [(event.kind, event.position.played) for event in events]


def test_an_answer_is_played_whole_and_counted() -> None:
    playout = Playout()
    for start in range(0, 3_000, 1_000):
        playout.push("a", start, ramp(start, 1_000))
    playout.end("a")
    heard, events = play(playout, 8)
    assert heard[:3_000] == list(range(1, 3_001))
    assert not any(heard[3_000:])
    assert kinds(events) == [("started", 0), ("finished", 3_000)]
    assert events[1].offset == 3_000 % BLOCK


def test_it_waits_for_40_ms_unless_the_answer_has_ended() -> None:
    playout = Playout()
    playout.push("a", 0, ramp(0, 900))
    assert not any(play(playout, 2)[0])
    playout.push("a", 900, ramp(900, 60))
    assert play(playout, 1)[0][0] == 1
    short = Playout()
    short.push("b", 0, ramp(0, 50))
    short.end("b")
    assert play(short, 1)[0][49] == 50


def test_running_dry_waits_for_more_than_before() -> None:
    playout = Playout()
    playout.push("a", 0, ramp(0, 960))
    assert kinds(play(playout, 3)[1]) == [("started", 0), ("dry", 960)]
    playout.push("a", 960, ramp(960, 1_000))
    assert not any(play(playout, 1)[0])
    playout.push("a", 1_960, ramp(1_960, 1_000))
    heard, events = play(playout, 4)
    assert heard[:1_920] == list(range(961, 2_881))
    assert "started" not in dict(kinds(events))


def test_repeated_sound_is_played_once() -> None:
    playout = Playout()
    for start in (0, 500, 0):
        playout.push("a", start, ramp(start, 1_000))
    playout.end("a")
    heard, _ = play(playout, 4)
    assert heard[:1_500] == list(range(1, 1_501))
    assert not any(heard[1_500:])


def test_a_flush_fades_within_5_ms_and_tells_what_was_played() -> None:
    playout = Playout()
    playout.push("a", 0, array("h", [10_000] * 24_000).tobytes())
    play(playout, 4)
    assert playout.flush() == Position("a", 4 * BLOCK + 120)
    heard, _ = play(playout, 1)
    assert heard[0] > 9_000
    assert heard[60] < 6_000
    assert not any(heard[119:])
    assert playout.waiting == 0
    assert playout.flush() is None


def test_a_pause_keeps_what_waits() -> None:
    playout = Playout()
    playout.push("a", 0, ramp(0, 4_000))
    play(playout, 2)
    playout.pause(True)
    assert not any(play(playout, 2)[0])
    playout.pause(False)
    assert play(playout, 1)[0][0] == 961
    playout.pause(True)
    assert playout.flush() == Position("a", 1_440)
    playout.push("b", 0, ramp(0, 2_000))
    assert play(playout, 1)[0][0] == 1


def test_acknowledgements_are_thinned_out() -> None:
    acks = AckScheduler()
    told = [played for played in range(480, 12_001, 480) if acks.due("a", played)]
    assert told == [480, 5_280, 10_080]
    assert acks.due("a", 12_000, last=True)
    assert not acks.due("a", 12_000, last=True)
    assert acks.due("b", 0)


def test_the_microphone_s_clock_follows_time_stamps() -> None:
    clock = InputClock()
    clock.mark(480, 1.02)
    clock.mark(480, 1.04)
    clock.mark(480, 5.0)
    assert clock.time_of(480) == 1.02
    assert clock.time_of(720) == 1.03
    assert clock.time_of(1_440) == 5.0
    assert clock.time_of(1_441) is None


def test_only_spoken_turns_are_measured() -> None:
    voice = VoiceToVoice()
    assert voice.played(1.0) is None
    voice.stopped(1.0)
    assert voice.played(1.25) == 0.25
    assert voice.played(1.5) is None
    voice.stopped(None)
    assert voice.played(2.0) is None


def test_a_runaway_loudspeaker_gets_silence() -> None:
    guard = PaceGuard(slack_s=0.5)
    admitted = sum(guard.admits(480, 0.0) for _ in range(1_000))
    assert admitted in (25, 26)  # half a second of 20 ms blocks, and the one that goes over
    assert guard.admits(480, 0.1)
    assert sum(guard.admits(480, 100.0) for _ in range(1_000)) < 60, "a stall is not owed afterwards"


def test_rates_are_converted_block_by_block() -> None:
    converter = RateConverter(48_000, 24_000)
    pieces = [converter.convert(array("h", [1_000] * 960).tobytes()) for _ in range(50)]
    samples = array("h", b"".join(pieces))
    assert 22_000 < len(samples) <= 24_000
    assert all(abs(sample - 1_000) < 20 for sample in samples[2_000:])
    same = RateConverter(24_000, 24_000)
    assert same.convert(b"\1\2") == b"\1\2"
