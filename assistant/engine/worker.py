"""The one thread that owns the device and serves all sessions together.

Each round it carries out at most one short command of every session, in turn, then one decode step for all
answers at once, then, if no answer needs the device, one step of a transcript. So a cancellation waits for
one step, no session waits for another's backlog, and what a client does not take never piles up here:
reports are handed to the subscriber at once and sound is made at most a few seconds before it is heard.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic

from assistant.engine.desk import Desk, Limits
from assistant.engine.model import C, Heard, OmniModel, Step
from assistant.errors import AssistantError, EngineError
from assistant.session.engine import (
    AddFrame,
    AddText,
    Answer,
    AnswerBegun,
    AnswerDone,
    AudioPiece,
    Cancel,
    Close,
    Command,
    DropAudio,
    EndAudio,
    Failed,
    Hear,
    Load,
    Open,
    Overhear,
    Overheard,
    Rebuild,
    Report,
    TextPiece,
    ToolCall,
    Transcribe,
    Transcript,
    Truncate,
    TurnScore,
)
from audiocodec.numbers import SAMPLE_RATE

log = logging.getLogger(__name__)


class Worker(Generic[C]):
    """An Engine (see assistant.session.engine) around one model. Its thread starts at once."""

    def __init__(
        self,
        model: OmniModel[C],
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._limits, self._clock = model, limits or Limits(), clock
        self._desks: dict[str, Desk[C]] = {}
        self._subscribers: dict[str, Callable[[Report], None]] = {}
        self._wake = threading.Condition()
        self._closing = False
        self._sound_samples = 0
        self._busy_s = 0.0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # ---- any thread

    def subscribe(self, session: str, receive: Callable[[Report], None]) -> None:
        """Deliver a session's reports to ``receive``, on the worker's thread."""
        with self._wake:
            self._subscribers[session] = receive

    def submit(self, command: Command) -> None:
        """Queue a command. Raises EngineError when the session has too much waiting."""
        with self._wake:
            desk = self._desks.get(command.session)
            if desk is None:
                desk = self._desks[command.session] = Desk(command.session)
            desk.put(command, self._limits)
            if isinstance(command, Open) and command.source in self._desks and command.source is not None:
                desk.waits_for = self._desks[command.source].last_ticket
            self._wake.notify()

    def load(self) -> Load:
        """Give the present load."""
        with self._wake:
            desks = list(self._desks.values())
            return Load(
                sessions=len(desks),
                answering=sum(desk.answer is not None for desk in desks),
                queued=sum(len(desk) for desk in desks),
                sound_s=self._sound_samples / SAMPLE_RATE,
                busy_s=self._busy_s,
            )

    def close(self) -> None:
        """Stop after the command in hand."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    # ---- the worker's thread

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._closing and (pause := self._pause()) != 0.0:
                    self._wake.wait(pause)
                if self._closing:
                    return
                desks = list(self._desks.values())
            for desk in desks:
                self._serve(desk)
            self._step([desk for desk in desks if desk.steps(self._clock())])
            self._write_down(desks)

    def _pause(self) -> float | None:
        """Seconds until there is something to do: 0 now, None until somebody asks."""
        now = self._clock()
        waits = [desk.pause(now, self._ready(desk)) for desk in self._desks.values()]
        known = [wait for wait in waits if wait is not None]
        return min(known) if known else None

    def _ready(self, desk: Desk[C]) -> bool:
        """Whether the items that a copy begins with have been written in its source."""
        if desk.waits_for is None:
            return True
        head = desk.head
        source = self._desks.get(head.source or "") if isinstance(head, Open) else None
        return source is None or source.done_ticket >= desk.waits_for

    def _serve(self, desk: Desk[C]) -> None:
        with self._wake:
            command = desk.take(self._limits.block_bytes) if self._ready(desk) else None
        if command is None:
            return
        try:
            self._carry_out(desk, command)
        except AssistantError as error:
            self._fail(desk, command, str(error), fatal=False)
        except (
            Exception
        ) as error:  # the edge of the model: whatever it raises ends this session, not the daemon
            log.exception("engine command failed", extra={"command": type(command).__name__})
            self._fail(desk, command, f"{type(command).__name__} failed: {type(error).__name__}", fatal=True)
        finally:
            with self._wake:
                desk.done_ticket += 1

    def _carry_out(self, desk: Desk[C], command: Command) -> None:
        match command:
            case Open():
                self._open(desk, command)
                return
            case Close():
                self._shut(desk)
                return
        conversation = desk.conversation
        if conversation is None:
            raise EngineError("This conversation could not be opened.")
        match command:
            case Hear():
                self._judged(desk, self._model.hear(conversation, command.item, command.pcm), command)
            case EndAudio():
                self._judged(desk, self._model.end_audio(conversation, command.item), command)
            case DropAudio():
                desk.heard.pop(command.item, None)
                self._model.drop_audio(conversation, command.item)
            case AddText():
                self._model.add_text(conversation, command.item, command.role, command.text)
            case AddFrame():
                self._model.add_frame(conversation, command.item, command.image)
            case Answer():
                self._model.begin_answer(conversation, command)
                desk.begin(command)
                self._tell(desk, AnswerBegun(desk.session, command.answer))
            case Cancel():
                self._cancel(desk, command)
            case Truncate():
                self._model.truncate(conversation, command.item, command.heard)
            case Rebuild():
                self._model.rebuild(conversation, command.instructions, command.items)
            case Overhear():
                self._tell(desk, Overheard(desk.session, self._model.overhear(command.pcm)))
            case Transcribe():
                desk.transcripts.append((command.item, self._model.transcribe(conversation, command.item)))

    def _open(self, desk: Desk[C], command: Open) -> None:
        source = self._desks.get(command.source) if command.source else None
        if source is None or source.conversation is None:
            desk.conversation = self._model.open(command.instructions)
        else:
            desk.conversation = self._model.copy(source.conversation, command.instructions, command.items)
        desk.waits_for = None

    def _shut(self, desk: Desk[C]) -> None:
        for _, steps in desk.transcripts:
            close = getattr(steps, "close", None)
            if close is not None:
                close()
        if desk.conversation is not None:
            self._model.close(desk.conversation)
        with self._wake:
            self._desks.pop(desk.session, None)
            self._subscribers.pop(desk.session, None)

    def _judged(self, desk: Desk[C], judgements: list[Heard], command: Hear | EndAudio) -> None:
        if isinstance(command, Hear):
            desk.heard.setdefault(command.item, command.start)
        start = desk.heard.get(command.item, 0)
        for heard in judgements:
            score = TurnScore(desk.session, start + heard.position, heard.finished, heard.speech)
            self._tell(desk, score)

    def _cancel(self, desk: Desk[C], command: Cancel) -> None:
        assert desk.conversation is not None
        last = desk.last
        if last is None or last.answer != command.answer:
            return  # it could not be begun, and that was reported
        if desk.answer is None and not command.reopen:
            self._model.truncate(desk.conversation, last.item, command.heard)
            return
        usage = self._model.cancel(desk.conversation, command.heard, command.reopen)
        if desk.answer is not None:
            desk.end()
            self._tell(desk, AnswerDone(desk.session, command.answer, "cancelled", usage))

    def _step(self, desks: list[Desk[C]]) -> None:
        if not desks:
            return
        began = self._clock()
        conversations = [desk.conversation for desk in desks if desk.conversation is not None]
        try:
            steps = self._model.step(conversations)
        except Exception as error:  # the edge of the model: these answers fail, the others go on
            log.exception("engine step failed")
            for desk in desks:
                self._fail_answer(desk, f"The model failed: {type(error).__name__}")
            return
        self._busy_s += self._clock() - began
        for desk, step in zip(desks, steps, strict=True):
            self._stepped(desk, step)

    def _stepped(self, desk: Desk[C], step: Step) -> None:
        answer = desk.answer
        if answer is None:
            return
        number = answer.answer
        if step.text or step.tokens:
            self._tell(desk, TextPiece(desk.session, number, step.text, step.tokens))
        for sound in step.sounds:
            start = desk.sounded(len(sound.pcm) // 2, self._clock())
            self._sound_samples += len(sound.pcm) // 2
            self._tell(desk, AudioPiece(desk.session, number, sound.pcm, start, sound.mel, sound.text_end))
        if step.call is not None:
            self._tell(desk, ToolCall(desk.session, number, step.call.name, step.call.arguments))
        if step.done is not None:
            desk.end()
            self._tell(desk, AnswerDone(desk.session, number, step.done, step.usage))

    def _write_down(self, desks: list[Desk[C]]) -> None:
        """One step of one transcript, when no answer needs the device for sound that is soon to be heard."""
        now = self._clock()
        waiting = [desk for desk in desks if desk.transcripts]
        if not waiting or any(desk.urgent(now, self._limits.urgent_s) for desk in desks):
            return
        desk = min(waiting, key=lambda each: each.written_at)
        desk.written_at = now
        item, steps = desk.transcripts[0]
        try:
            text = next(steps, None)
        except Exception as error:  # the edge of the model: a transcript is lost, the conversation goes on
            log.exception("transcript failed")
            desk.transcripts.pop(0)
            self._tell(desk, Failed(desk.session, f"No transcript: {type(error).__name__}", item=item))
            return
        if text is None:
            desk.transcripts.pop(0)
        self._tell(desk, Transcript(desk.session, item, text or "", text is None))

    def _fail(self, desk: Desk[C], command: Command, message: str, fatal: bool) -> None:
        answer = command.answer if isinstance(command, Answer) else None
        item = command.item if isinstance(command, Transcribe) else None
        self._tell(desk, Failed(desk.session, message, answer, item, fatal))

    def _fail_answer(self, desk: Desk[C], message: str) -> None:
        answer = desk.answer
        desk.end()
        if answer is not None:
            self._tell(desk, Failed(desk.session, message, answer.answer))

    def _tell(self, desk: Desk[C], report: Report) -> None:
        receive = self._subscribers.get(desk.session)
        if receive is not None:
            receive(report)
