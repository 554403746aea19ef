"""The worker's scheduling around the fake model: order, fairness, bounds, cancellation, pacing."""

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from assistant.engine.desk import Desk, Limits
from assistant.engine.model import Step
from assistant.engine.worker import Worker
from assistant.errors import EngineError
from assistant.session import engine as en
from tests.fakes import FakeConversation, FakeOmni, silence, tone

PATIENCE_S = 10.0


class Listener:
    """Collects one session's reports."""

    def __init__(self, worker: Worker[Any], session: str) -> None:
        self.session, self.seen = session, []
        self._queue: queue.Queue[en.Report] = queue.Queue()
        worker.subscribe(session, self._queue.put)

    def until(self, kind: type) -> Any:
        while True:
            report = self._queue.get(timeout=PATIENCE_S)
            self.seen.append(report)
            if isinstance(report, kind):
                return report

    def kinds(self) -> list[str]:
        return [type(report).__name__ for report in self.seen]


@pytest.fixture
def worker() -> Iterator[Worker[Any]]:
    found = Worker(FakeOmni())
    yield found
    found.close()


def ask(worker: Worker[Any], session: str, text: str, answer: int = 1, **options: Any) -> None:
    worker.submit(en.AddText(session, f"u{answer}", "user", text))
    worker.submit(en.Answer(session, answer, f"a{answer}", **options))


def test_an_answer_from_beginning_to_end(worker: Worker[Any]) -> None:
    listener = Listener(worker, "s")
    worker.submit(en.Open("s", "Be brief."))
    ask(worker, "s", "hello")
    done = listener.until(en.AnswerDone)
    assert done.reason == "stop"
    assert listener.kinds() == ["AnswerBegun"] + ["TextPiece", "AudioPiece"] * 4 + ["AnswerDone"]
    pieces = [report for report in listener.seen if isinstance(report, en.AudioPiece)]
    assert [piece.start for piece in pieces] == [0, 1_920, 3_840, 5_760]


def test_judgements_are_on_the_sessions_clock(worker: Worker[Any]) -> None:
    listener = Listener(worker, "s")
    worker.submit(en.Open("s", ""))
    worker.submit(en.Hear("s", "u", tone(0.32), 24_000))
    worker.submit(en.Hear("s", "u", silence(0.1), 24_000 + 7_680))
    worker.submit(en.EndAudio("s", "u"))
    positions = [listener.until(en.TurnScore).position for _ in range(3)]
    assert positions == [27_840, 31_680, 34_080]


def test_a_cancellation_overtakes_what_waits_and_others_go_on(worker: Worker[Any]) -> None:
    one, two = Listener(worker, "one"), Listener(worker, "two")
    for name in ("one", "two"):
        worker.submit(en.Open(name, ""))
        ask(worker, name, " ".join(["word"] * 40))
    one.until(en.AudioPiece)
    worker.submit(en.AddText("one", "later", "user", "later"))
    worker.submit(en.Cancel("one", 1, 1_920))
    assert one.until(en.AnswerDone).reason == "cancelled"
    assert two.until(en.AnswerDone).reason == "stop"
    ask(worker, "one", "again", 2)
    assert one.until(en.AnswerDone).answer == 2


def test_a_late_cancellation_shortens_and_says_nothing(worker: Worker[Any]) -> None:
    listener = Listener(worker, "s")
    worker.submit(en.Open("s", ""))
    ask(worker, "s", "hello")
    listener.until(en.AnswerDone)
    worker.submit(en.Cancel("s", 1, 1_920))
    ask(worker, "s", "again", 2)
    assert listener.until(en.AnswerDone).answer == 2


def test_a_copy_waits_for_what_it_copies(worker: Worker[Any]) -> None:
    main, aside = Listener(worker, "s"), Listener(worker, "s/1")
    worker.submit(en.Open("s", ""))
    for n in range(50):
        worker.submit(en.AddText("s", f"i{n}", "user", f"text {n}"))
    worker.submit(en.Open("s/1", "", source="s", items=("i49",)))
    worker.submit(en.Answer("s/1", 1, "a"))
    assert aside.until(en.AnswerDone).reason == "stop"
    assert "".join(r.text for r in aside.seen if isinstance(r, en.TextPiece)) == "You said text 49 . "
    assert main.seen == []


def test_a_failing_command_ends_its_session_only() -> None:
    worker: Worker[Any] = Worker(FakeOmni(fail_on="poison"))
    bad, good = Listener(worker, "bad"), Listener(worker, "good")
    for name, text in (("bad", "poison"), ("good", "hello")):
        worker.submit(en.Open(name, ""))
        ask(worker, name, text)
    failed = bad.until(en.Failed)
    assert (failed.answer, failed.fatal) == (1, True)
    assert good.until(en.AnswerDone).reason == "stop"
    worker.close()


def test_a_failing_step_fails_the_answers_and_the_worker_lives() -> None:
    class Breaks(FakeOmni):
        broken = True

        def step(self, conversations: Sequence[FakeConversation]) -> list[Step]:
            if self.broken:
                self.broken = False
                raise RuntimeError("no luck")
            return super().step(conversations)

    worker: Worker[Any] = Worker(Breaks())
    listener = Listener(worker, "s")
    worker.submit(en.Open("s", ""))
    ask(worker, "s", "hello")
    assert listener.until(en.Failed).answer == 1
    ask(worker, "s", "hello", 2)
    assert listener.until(en.AnswerDone).reason == "stop"
    worker.close()


def test_queues_are_bounded() -> None:
    holding, entered = threading.Event(), threading.Event()

    class Slow(FakeOmni):
        def open(self, instructions: str) -> FakeConversation:
            entered.set()
            holding.wait(PATIENCE_S)
            return super().open(instructions)

    worker: Worker[Any] = Worker(Slow(), Limits(queued_commands=10, queued_audio_s=2.0))
    worker.submit(en.Open("s", ""))
    entered.wait(PATIENCE_S)
    worker.submit(en.Hear("s", "u", silence(1.9), 0))
    with pytest.raises(EngineError, match="sound wait"):
        worker.submit(en.Hear("s", "u", silence(0.2), 45_600))
    for n in range(9):
        worker.submit(en.AddText("s", f"i{n}", "user", "x"))
    with pytest.raises(EngineError, match="commands wait"):
        worker.submit(en.AddText("s", "one too many", "user", "x"))
    worker.submit(en.Cancel("s", 1, 0))
    worker.submit(en.Close("s"))
    holding.set()
    worker.close()


def test_sound_is_made_a_few_seconds_ahead_and_no_more() -> None:
    desk: Desk[object] = Desk("s")
    desk.begin(en.Answer("s", 1, "a"))
    now = 100.0
    while desk.steps(now):
        desk.sounded(2_400, now)
    assert desk.in_hand_s(now) == pytest.approx(4.0)
    assert not desk.urgent(now, 1.0)
    assert desk.pause(now, True) == pytest.approx(0.001)
    assert desk.steps(now + 0.2)
    assert desk.urgent(now + 3.5, 1.0)


def test_long_speech_is_taken_a_block_at_a_time() -> None:
    desk: Desk[object] = Desk("s")
    limits = Limits()
    desk.put(en.Hear("s", "u", silence(0.5), 0), limits)
    desk.put(en.Hear("s", "u", silence(0.5), 12_000), limits)
    assert len(desk) == 1
    starts = []
    while (command := desk.take(limits.block_bytes)) is not None:
        assert isinstance(command, en.Hear)
        starts.append(command.start)
    assert starts == list(range(0, 24_000, 3_840))


def test_a_stray_sound_is_told_amid_an_answer() -> None:
    model = FakeOmni()
    worker: Worker[Any] = Worker(model, Limits(ahead_s=0.3))
    try:
        listener = Listener(worker, "s")
        worker.submit(en.Open("s", ""))
        ask(worker, "s", "one two three four five six seven eight nine ten")
        listener.until(en.AudioPiece)
        worker.submit(en.Overhear("s", tone(0.3)))
        assert listener.until(en.Overheard).agreement == model.overhear(b"")
        listener.until(en.AnswerDone)
    finally:
        worker.close()


def test_transcripts_come_in_pieces_and_close_frees(worker: Worker[Any]) -> None:
    listener = Listener(worker, "s")
    worker.submit(en.Open("s", ""))
    worker.submit(en.Hear("s", "u", tone(0.5), 0))
    worker.submit(en.EndAudio("s", "u"))
    worker.submit(en.Transcribe("s", "u"))
    pieces = [listener.until(en.Transcript)]
    while not pieces[-1].final:
        pieces.append(listener.until(en.Transcript))
    assert "".join(piece.text for piece in pieces) == "0.5seconds of sound"
    worker.submit(en.Close("s"))
    other = Listener(worker, "t")
    worker.submit(en.Open("t", ""))
    ask(worker, "t", "x")
    other.until(en.AnswerDone)
    assert worker.load().sessions == 1
