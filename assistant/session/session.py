"""One conversation: client events and engine reports in, session events out.

Pure: the only clock is the sound that the client sends, the only way out is the Engine's ``submit``. The
caller feeds ``handle`` and ``report`` from one thread.
"""

from collections.abc import Callable

from assistant.session import events as ev
from assistant.session.answering import Answering
from assistant.session.clock import to_ms, to_samples
from assistant.session.editing import Editing
from assistant.session.engine import (
    AddFrame,
    DropAudio,
    EndAudio,
    Engine,
    Failed,
    Hear,
    Overhear,
    Overheard,
    Report,
    Transcribe,
    Transcript,
    TurnScore,
)
from assistant.session.errors import Refused
from assistant.session.items import Item, Part
from assistant.session.listening import Ear, Room, Signal
from assistant.session.settings import ReplyOptions, Settings
from assistant.session.turn import TurnPolicy, TurnTaker
from assistant.session.vad import VoiceActivity

FRAME_SPACING = to_samples(500)  # at most two camera frames a second reach the model
SHORTEST_COMMIT = to_samples(100)
IDLE_PROMPT = "The user has said nothing for a while. Ask in a few words whether they are still there."
Events = list[ev.SessionEvent]


class Session:
    """Turn-taking, the conversation and its answers."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        voice: VoiceActivity,
        new_id: Callable[[str], str],
        receive: Callable[[Report], None],
    ) -> None:
        self.name = name
        self.settings = Settings()
        self._new_id = new_id
        self._answers = Answering(name, engine, new_id, receive)
        self._editing = Editing(name, self._answers, new_id, lambda: self._item is not None, lambda: self.now)
        self._ear = Ear(voice, TurnTaker(TurnPolicy()), Room(self._audible, self._reference))
        self._gap = 0  # samples of time that passed without sound
        self._item: str | None = None  # the user message that is being heard
        self._start = 0  # position of its first sample
        self._sent = 0  # position behind what the engine has been given
        self._frame: bytes | None = None
        self._frame_at = -FRAME_SPACING
        self._quiet_since: int | None = None  # for the idle time-out
        self._configure(ev.Configure(self.settings))

    @property
    def now(self) -> int:
        """Samples of time since the session began."""
        return self._ear.received + self._gap

    @property
    def busy(self) -> bool:
        """Whether an answer is being made that the client knows of."""
        return self._answers.busy

    def handle(self, event: ev.ClientEvent) -> Events:
        """Take a client event. Raises Refused when it cannot be carried out; nothing has changed then."""
        match event:
            case ev.AppendAudio():
                return self._append(event)
            case ev.Elapsed():
                self._gap += event.samples
                return []
            case ev.Played():
                self._answers.played(event.item_id, to_samples(event.played_ms), self.now)
                return []
            case ev.Configure():
                return self._configure(event)
            case ev.CommitAudio():
                return self._commit()
            case ev.ClearAudio():
                return self._clear()
            case ev.CreateReply():
                return self._create_reply(event.options)
            case ev.CancelReply():
                return self._cancel(event.reply_id)
            case ev.ClearOutput():
                return self._clear_output()
            case _:
                return self._editing.edit(event)

    def report(self, report: Report) -> Events:
        """Take a report of the engine."""
        match report:
            case TurnScore():
                return self._score(report)
            case Overheard():
                signal = self._ear.overheard(report.agreement)
                return [] if signal is None else self._act(signal)
            case Transcript():
                return self._editing.transcript(report)
            case Failed(answer=None, item=str() as item_id):
                return [ev.TranscriptionFailed(item_id, 0, report.message)]
            case Failed(answer=None):
                return [ev.Problem("engine_error", report.message, report.fatal)]
            case _:
                return self._answers.report(report, self.now)

    def close(self) -> None:
        """Free what the engine holds."""
        self._answers.close()

    # ---- settings

    def _configure(self, event: ev.Configure) -> Events:
        before, self.settings = self.settings, event.settings
        self._answers.configure(event.settings)
        self._ear.barge_in.patient = event.settings.can_pause
        detection = event.settings.turn_detection
        if detection is not None:
            self._ear.turn.policy = detection.policy()
        if (detection is None) != (before.turn_detection is None):
            return self._discard()
        return []

    # ---- sound in

    def _append(self, event: ev.AppendAudio) -> Events:
        if event.frames:
            self._frame = event.frames[-1]  # the newest wins
        self._ear.push(event.pcm)
        result: Events = []
        detection = self.settings.turn_detection
        if detection is None:
            self._push_to_talk()
        else:
            for signal in self._ear.listen():
                result += self._act(signal)
            if self._item is not None and not self._ear.turn.held:
                self._hear(self._ear.now)
            result += self._idle()
        return result

    def _act(self, signal: Signal) -> Events:
        match signal:
            case Signal.START:
                return self._begin(self._ear.turn.onset_ms)
            case Signal.INTERRUPT:
                self._ear.turn.begin()
                return self._begin(self._ear.barge_in.onset_ms)
            case Signal.SPECULATE:
                return self._speculate()
            case Signal.REOPEN:
                self._answers.take_back()
                return []
            case Signal.END:
                return self._end()
            case Signal.ASK:
                self._answers.submit(Overhear(self.name, self._ear.burst()))
                return []
            case Signal.PAUSE if self.settings.can_pause:
                return self._answers.pause(self.now)
            case Signal.RESUME if self.settings.can_pause:
                return self._answers.resume(self.now)
            case _:
                return []

    def _begin(self, onset_ms: int) -> Events:
        detection = self.settings.turn_detection
        padding = to_samples(detection.prefix_padding_ms) if detection else 0
        onset = self._ear.now - to_samples(onset_ms)
        self._start = self._sent = max(onset - padding, self._sent, self._ear.base)
        self._item = self._new_id("item")
        self._ear.last_speech = self._ear.now
        self._quiet_since = None
        interrupted: str | None = None
        events: Events = []
        if detection is None or detection.interrupt_response:
            interrupted, events = self._answers.interrupt(self.now)
        started = ev.SpeechStarted(self._item, self._start, onset, self._ear.now, interrupted)
        return [started, *events]

    def _hear(self, until: int) -> None:
        """Pass the user's sound up to a position on to the engine, and a due camera frame."""
        assert self._item is not None
        pcm = self._ear.between(self._sent, until)
        if pcm:
            self._answers.submit(Hear(self.name, self._item, pcm, self._sent))
            self._sent = until
            self._ear.drop(until - to_samples(500))
        if self._frame is not None and self.now - self._frame_at >= FRAME_SPACING:
            self._answers.submit(AddFrame(self.name, self._item, self._frame))
            self._frame, self._frame_at = None, self.now

    def _speculate(self) -> Events:
        detection = self.settings.turn_detection
        if self._item is None or detection is None or not detection.create_response or self._answers.busy:
            self._ear.turn.held = False
            return []
        self._hear(self._ear.now)
        self._answers.submit(EndAudio(self.name, self._item))
        self._answers.ask(ReplyOptions(), held=True)
        return []

    def _score(self, report: TurnScore) -> Events:
        if self._item is None:
            return []
        covered = to_ms(report.position - self._ear.last_speech)
        decision = self._ear.turn.score(covered, report.finished)
        if decision is None:
            return []
        signal = Signal.END if decision.name == "END" else Signal.REOPEN
        result = self._act(signal)
        if signal is Signal.REOPEN:
            self._hear(self._ear.now)
        return result

    def _end(self) -> Events:
        """The turn is over: commit what was heard, and let the answer out."""
        assert self._item is not None
        decided = self._ear.now
        stopped = ev.SpeechStopped(self._item, self._ear.last_speech, decided)
        if self._answers.waiting:
            self._answers.take_back()  # the held answer has not read what waited for the end of the turn
        begun = self._answers.holding
        if not begun:
            self._hear(decided)
            self._answers.submit(EndAudio(self.name, self._item))
        result: Events = [stopped, *self._commit_item(self._sent - self._start)]
        self._answers.flush()
        detection = self.settings.turn_detection
        if begun:
            result += self._answers.let_out(self.now)
        elif detection is not None and detection.create_response:
            result += self._answers.ask(ReplyOptions(), spoken_turn=True)
        self._write_down(stopped.item_id)
        return result

    def _commit_item(self, length: int) -> Events:
        assert self._item is not None
        item = Item(self._item, role="user", parts=(Part("audio", None, length),))
        previous = self._answers.conversation.add(item)
        self._answers.written(item.id)
        self._item = None
        return [ev.Committed(item.id, previous), ev.ItemAdded(item, previous)]

    def _write_down(self, item_id: str) -> None:
        self._quiet_since = None
        if self.settings.transcribe:
            self._answers.submit(Transcribe(self.name, item_id))

    # ---- push to talk

    def _push_to_talk(self) -> None:
        if self._item is None:
            self._item = self._new_id("item")
            self._start = self._sent = max(self._sent, self._ear.base)
        self._ear.skip()
        self._ear.last_speech = self._ear.now
        self._hear(self._ear.received)

    def _commit(self) -> Events:
        if self._item is None or self._ear.received - self._start < SHORTEST_COMMIT:
            raise Refused(
                "input_audio_buffer_commit_empty",
                "The buffer holds less than 100 ms of sound; append some first.",
            )
        result: Events = []
        if self._answers.holding:
            self._answers.take_back()
        if self.settings.turn_detection is not None:
            self._ear.turn.reset()
            result.append(ev.SpeechStopped(self._item, self._ear.last_speech, self._ear.now))
        self._hear(self._ear.received)
        item_id = self._item
        self._answers.submit(EndAudio(self.name, item_id))
        result += self._commit_item(self._sent - self._start)
        self._answers.flush()
        self._write_down(item_id)
        return result

    def _clear(self) -> Events:
        return [*self._discard(), ev.Cleared()]

    def _discard(self) -> Events:
        if self._answers.holding:
            self._answers.take_back()
        if self._item is not None:
            self._answers.submit(DropAudio(self.name, self._item))
            self._item = None
        self._ear.turn.reset()
        self._sent = self._ear.received
        self._answers.flush()
        return []

    # ---- answers

    def _create_reply(self, options: ReplyOptions) -> Events:
        if options.detached:
            return self._answers.ask_aside(options)
        if self._answers.busy:
            raise Refused(
                "conversation_already_has_active_response",
                "An answer is being made; wait for response.done or send response.cancel.",
            )
        if self._answers.holding:
            return self._end_now(options)
        if self._item is not None and self.settings.turn_detection is not None:
            self._answers.queue(options)  # the user is speaking: it is made when they have finished
            return []
        if self._item is not None:
            self._discard()  # push to talk: what was not committed is not part of it
        return self._answers.ask(options)

    def _end_now(self, options: ReplyOptions) -> Events:
        """The client asks while an answer is held: its word goes before the turn machine's."""
        self._answers.take_back()
        self._ear.turn.reset()
        assert self._item is not None
        self._answers.submit(EndAudio(self.name, self._item))
        stopped = ev.SpeechStopped(self._item, self._ear.last_speech, self._ear.now)
        committed = self._commit_item(self._sent - self._start)
        self._answers.flush()
        answer = self._answers.ask(options, spoken_turn=True)
        self._write_down(stopped.item_id)
        return [stopped, *committed, *answer]

    def _cancel(self, reply_id: str | None) -> Events:
        return self._answers.cancel(reply_id, self.now)

    def _clear_output(self) -> Events:
        interrupted, result = self._answers.interrupt(self.now, "client_cancelled")
        return [*result, ev.OutputCleared(interrupted)] if interrupted else result

    def _audible(self) -> bool:
        return self._answers.audible(self.now)

    def _reference(self) -> bytes:
        return b"" if self.settings.echo_cancelled else self._answers.reference(self.now)

    def _idle(self) -> Events:
        detection = self.settings.turn_detection
        if detection is None or detection.idle_timeout_ms is None or self._item is not None:
            return []
        if not self._answers.answered or self._answers.busy or self._audible():
            self._quiet_since = None
            return []
        if self._quiet_since is None:
            self._quiet_since = self._ear.now
        if self._ear.now - self._quiet_since < to_samples(detection.idle_timeout_ms):
            return []
        start, self._quiet_since = self._quiet_since, None
        self._item = self._new_id("item")
        self._answers.submit(EndAudio(self.name, self._item))
        timed_out = ev.TimedOut(self._item, start, self._ear.now)
        self._sent = self._ear.now
        committed = self._commit_item(self._ear.now - start)
        return [timed_out, *committed, *self._answers.ask(ReplyOptions(instructions=IDLE_PROMPT))]
