"""A session whose engine is the test."""

from dataclasses import replace

from assistant.session import engine as en
from assistant.session import events as ev
from assistant.session.items import Item, Part
from assistant.session.session import Session
from assistant.session.settings import Settings, TurnDetection
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


def answered(rig: Rig, seconds: float = 2.0) -> str:
    """A spoken question and an answer that sounds for so long; gives the answer's item."""
    rig.sound(tone(0.5) + silence(0.1))
    rig.score(1.0)
    rig.sound(silence(0.1))
    number = rig.answer().answer
    for n in range(int(seconds * 5)):
        piece = en.AudioPiece("s", number, tone(0.2, 150.0, 0.01), n * 4_800, b"", (n + 1) * 5)
        rig.say(en.TextPiece("s", number, "word ", 1), piece)
    return rig.answer().item
