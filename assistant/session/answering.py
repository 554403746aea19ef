"""The assistant's side: answers from being asked for to being heard, and what the engine has been told."""

from collections.abc import Callable
from dataclasses import replace

from assistant.session import events as ev
from assistant.session.clock import count
from assistant.session.engine import (
    AddFrame,
    AddText,
    Answer,
    AnswerDone,
    AudioPiece,
    Cancel,
    Close,
    Command,
    EndAudio,
    Engine,
    Failed,
    Hear,
    Open,
    Rebuild,
    Report,
    Speech,
    TextPiece,
    ToolCall,
    Truncate,
    Usage,
)
from assistant.session.errors import Refused
from assistant.session.items import Conversation, Item
from assistant.session.replies import Reply, Track, message_item, shortened
from assistant.session.settings import ReplyOptions, Settings
from assistant.session.tools import with_tools

Events = list[ev.SessionEvent]


class Answering:
    """Owns the conversation, the answers being made, and the engine's picture of both."""

    def __init__(
        self, name: str, engine: Engine, new_id: Callable[[str], str], receive: Callable[[Report], None]
    ) -> None:
        self.conversation = Conversation()
        self.dirty = False  # the engine's conversation must be written anew
        self.answered = False  # at least one answer was given
        self._name, self._engine, self._new_id, self._receive = name, engine, new_id, receive
        self._settings = Settings()
        self._opened = self._hearing = False
        self._number = 0
        self._replies: dict[int, Reply] = {}  # not yet ended
        self._tracks: dict[str, tuple[int, Track]] = {}
        self._written: set[str] = set()
        self._held: Reply | None = None
        self._active: Reply | None = None
        self._latest: Reply | None = None  # may still be heard
        self._queued: ReplyOptions | None = None
        self._waiting: list[Command] = []  # to be submitted when the user's turn is over

    # ---- telling the engine

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on; a changed prompt is written anew before the next answer."""
        before, self._settings = self._prompt(), settings
        if self._opened and self._prompt() != before:
            self.dirty = True

    def submit(self, command: Command) -> None:
        """Give the engine a command, after what must come first. Raises Refused when its queue is full."""
        if (
            isinstance(command, Hear | EndAudio | AddText | AddFrame | Answer)
            and command.session == self._name
        ):
            self._sync()
            self._hearing = isinstance(command, Hear) or (
                self._hearing and not isinstance(command, EndAudio | Answer)
            )
        self._engine.submit(command)

    def submit_or_wait(self, command: Command, wait: bool) -> None:
        """Give the engine a command now, or when the user's turn is over."""
        if wait:
            self._waiting.append(command)
        else:
            self.submit(command)

    @property
    def waiting(self) -> bool:
        """Whether commands wait for the end of the user's turn."""
        return bool(self._waiting)

    def flush(self) -> None:
        """The user's turn is over: submit what waited for it."""
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            self.submit(command)

    def written(self, item_id: str) -> None:
        """The engine holds an item of this id."""
        self._written.add(item_id)

    def forget(self, item_id: str) -> None:
        """An item was taken out of the conversation."""
        self._tracks.pop(item_id, None)
        if item_id in self._written:
            self._written.discard(item_id)
            self.dirty = True

    def close(self) -> None:
        """Free what the engine holds, asides included."""
        for reply in self._replies.values():
            if reply.detached:
                self._engine.submit(Close(reply.session))
        if self._opened:
            self._engine.submit(Close(self._name))

    def _prompt(self) -> str:
        return with_tools(self._settings.instructions, self._settings.tools, self._settings.tool_choice)

    def _items(self) -> tuple[str, ...]:
        return tuple(item for item in self.conversation.order if item in self._written)

    def _sync(self) -> None:
        if not self._opened:
            self._engine.subscribe(self._name, self._receive)
            self._engine.submit(Open(self._name, self._prompt()))
            self._opened, self.dirty = True, False
        elif self.dirty and not self._hearing and not self.busy and not self.holding:
            self.dirty = False
            self._engine.submit(Rebuild(self._name, self._prompt(), self._items()))

    # ---- beginning

    @property
    def busy(self) -> bool:
        """An answer is being made and the client knows."""
        return self._active is not None

    @property
    def holding(self) -> bool:
        """An answer was begun on suspicion."""
        return self._held is not None

    def queue(self, options: ReplyOptions) -> None:
        """Use these options for the next answer."""
        self._queued = options

    def ask(self, options: ReplyOptions, *, held: bool = False, spoken_turn: bool = False) -> Events:
        """Ask for an answer in the conversation; while one is being made, the next waits for its end."""
        if self._active is not None:
            self._queued = options
            return []
        if self._queued is not None:
            options, self._queued = self._queued, None
        reply = self._reply(options, self._name)
        reply.held, reply.spoken_turn = held, held or spoken_turn
        self.submit(self._answer(reply))
        self._replies[reply.number] = reply
        if held:
            self._held = reply
            return []
        return self._show(reply)

    def ask_aside(self, options: ReplyOptions) -> Events:
        """Ask for an answer outside the conversation, which reads the conversation or the given input."""
        name = f"{self._name}/{self._number + 1}"
        reply = self._reply(options, name)
        self._sync()
        self._engine.subscribe(name, self._receive)
        given = self._items() if options.input is None else options.input
        known = [item for item in given if isinstance(item, str)]
        for item_id in known:
            self.conversation.get(item_id)
        prompt = reply.options.instructions or self._settings.instructions
        tools = self._settings.tools if options.tools is None else options.tools
        prompt = with_tools(prompt, tools, options.tool_choice or self._settings.tool_choice)
        self._engine.submit(Open(name, prompt, self._name, tuple(known)))
        for item in given:
            if isinstance(item, Item):
                text = " ".join(part.text or "" for part in item.parts) or item.output
                role = "tool" if item.kind == "function_call_output" else item.role
                self._engine.submit(AddText(name, self._new_id("item"), role, text))
        self._engine.submit(replace(self._answer(reply), instructions=None))
        self._replies[reply.number] = reply
        return [ev.ReplyStarted(reply.id, options, reply.aloud, False)]

    def _reply(self, options: ReplyOptions, session: str) -> Reply:
        self._number += 1
        aloud = self._settings.aloud if options.aloud is None else options.aloud
        return Reply(self._number, session, self._new_id("resp"), self._new_id("item"), options, aloud)

    def _answer(self, reply: Reply) -> Answer:
        settings, options = self._settings, reply.options
        tools = settings.tools if options.tools is None else options.tools
        choice = options.tool_choice or settings.tool_choice
        special = (
            options.instructions is not None or options.tools is not None or options.tool_choice is not None
        )
        prompt = with_tools(options.instructions or settings.instructions, tools, choice) if special else None
        return Answer(
            reply.session,
            reply.number,
            reply.item_id,
            prompt,
            aloud=reply.aloud,
            speech=Speech(settings.style, settings.speed),
            max_tokens=options.max_tokens or settings.max_tokens,
            tools=bool(tools) and choice != "none",
        )

    def _show(self, reply: Reply) -> Events:
        self._active = self._latest = reply
        self.answered = True
        return [ev.ReplyStarted(reply.id, reply.options, reply.aloud, reply.spoken_turn)]

    def let_out(self, now: int) -> Events:
        """The turn is over: tell the client what the held answer has so far."""
        reply, self._held = self._held, None
        if reply is None:
            return []
        reply.held = False
        pending, reply.pending = reply.pending, []
        result = self._show(reply)
        for report in pending:
            result += self._relay(reply, report, now)
        return result

    def take_back(self) -> None:
        """The user goes on: nobody will ever know of the held answer."""
        reply, self._held = self._held, None
        if reply is not None:
            self._replies.pop(reply.number, None)
            self._hearing = True
            self.submit(Cancel(self._name, reply.number, 0, reopen=True))

    # ---- going on

    def report(self, report: Report, now: int) -> Events:
        """Take what the engine says about an answer; about one that was taken back it says nothing of use."""
        number = getattr(report, "answer", None)
        reply = self._replies.get(number) if isinstance(number, int) else None
        if reply is None:
            return []
        if reply.held:
            reply.pending.append(report)
            return []
        return self._relay(reply, report, now)

    def _relay(self, reply: Reply, report: Report, now: int) -> Events:
        match report:
            case AnswerDone():
                return self._finish(reply, report.reason, report.usage)
            case Failed():
                problem: Events = [ev.Problem("engine_error", report.message, report.fatal)]
                return problem + self._finish(reply, "failed", Usage())
            case _ if reply.cancel_reason is not None:
                return []
            case TextPiece():
                result = self._begin_message(reply)
                reply.track.text += report.text
                return [*result, ev.Said(reply.id, 0, reply.item_id, report.text)]
            case AudioPiece():
                result = self._begin_message(reply)
                reply.track.sound(report, count(report.pcm))
                reply.playback.send(report.pcm, now)
                return [*result, ev.Sounded(reply.id, 0, reply.item_id, report)]
            case ToolCall():
                return self._call(reply, report)
            case _:
                return []

    def _begin_message(self, reply: Reply) -> Events:
        if reply.message is not None:
            return []
        self._tracks[reply.item_id] = (reply.number, reply.track)
        return self._begin_item(reply, message_item(reply))

    def _begin_item(self, reply: Reply, item: Item) -> Events:
        previous = None if reply.detached else self.conversation.add(item)
        if not reply.detached:
            self.written(reply.item_id)
        reply.items.append(item)
        return [ev.OutputStarted(reply.id, len(reply.items) - 1, item, previous, reply.detached)]

    def _call(self, reply: Reply, report: ToolCall) -> Events:
        item_id = reply.item_id if reply.message is None else self._new_id("item")
        item = Item(
            item_id, "function_call", status="in_progress", call_id=self._new_id("call"), name=report.name
        )
        result = self._begin_item(reply, item)
        reply.items[-1] = replace(item, arguments=report.arguments)
        return result

    def _finish(self, reply: Reply, reason: str, usage: Usage) -> Events:
        self._replies.pop(reply.number, None)
        reply.ended = reply.playback.ended = True
        status, why = reply.outcome(reason)
        result: Events = []
        for index, item in enumerate(reply.items):
            done = "completed" if status == "completed" else "incomplete"
            whole = message_item(reply, done) if item.kind == "message" else replace(item, status=done)
            reply.items[index] = whole
            self.conversation.replace(whole)
            result.append(ev.OutputEnded(reply.id, index, whole, reply.detached))
        result.append(ev.ReplyEnded(reply.id, status, why, usage, tuple(reply.items)))
        if reply.detached:
            self._engine.submit(Close(reply.session))
        if reply is self._active:
            self._active = None
            if self._queued is not None:
                result += self.ask(ReplyOptions())
        return result

    # ---- stopping

    def interrupt(self, now: int, reason: str = "turn_detected") -> tuple[str | None, Events]:
        """Stop what is being made or still heard, and keep what was heard. Gives the answer's id."""
        reply = self._latest
        if reply is None or (reply.ended and not reply.playback.audible(now)):
            return None, []
        return reply.id, self._cut(reply, reply.playback.heard(now), reason)

    def cancel(self, reply_id: str | None, now: int) -> Events:
        """The client stops an answer. Raises Refused when there is none of that id, or none at all."""
        found = [reply for reply in self._replies.values() if not reply.held and reply_id in {None, reply.id}]
        main = [reply for reply in found if not reply.detached] or found
        if not main:
            raise Refused("response_cancel_not_active", "No answer is being made.", param="response_id")
        if main[0].cancel_reason is not None:
            return []
        return self._cut(main[0], main[0].playback.heard(now), "client_cancelled")

    def cut_active(self, item_id: str, heard: int, now: int) -> Events:
        """Stop the answer that is being made if this is its item."""
        reply = self._active
        if reply is None or reply.item_id != item_id or reply.cancel_reason is not None:
            return []
        return self._cut(reply, heard, "client_cancelled")

    def _cut(self, reply: Reply, heard: int, reason: str) -> Events:
        heard = min(heard, reply.track.samples)
        reply.playback.ended = True
        reply.playback.samples = min(heard, reply.playback.samples)
        if reply.aloud:
            reply.track.cut = heard
        if not reply.ended:
            reply.cancel_reason = reason
            self.submit(Cancel(reply.session, reply.number, heard))
        elif reply.message is not None and reply.item_id in self.conversation:
            self.submit(Truncate(self._name, reply.number, reply.item_id, heard))
            self.conversation.replace(shortened(self.conversation.get(reply.item_id), reply.track))
        return []

    def refuse_active(self, item_id: str) -> None:
        """Raise Refused if an item belongs to the answer that is being made."""
        if self._active is not None and any(item.id == item_id for item in self._active.items):
            raise Refused(
                "invalid_item", "This item is being written; cancel the answer first.", param="item_id"
            )

    # ---- being heard

    def track(self, item_id: str) -> Track | None:
        """Text and sound of a spoken answer."""
        found = self._tracks.get(item_id)
        return found[1] if found else None

    def number(self, item_id: str) -> int:
        """The number of the answer that an item came from."""
        return self._tracks[item_id][0]

    def played(self, item_id: str, played: int, now: int) -> None:
        """The client says how much has left its loudspeaker."""
        if self._latest is not None and self._latest.item_id == item_id:
            self._latest.playback.ack(played, now)

    def audible(self, now: int) -> bool:
        """Whether the user hears an answer."""
        return self._latest is not None and self._latest.playback.audible(now)

    def reference(self, now: int) -> bytes:
        """What the loudspeaker says about now."""
        return self._latest.playback.reference(now) if self._latest is not None else b""

    def pause(self, now: int) -> Events:
        """Have the client hold its loudspeaker."""
        if self._latest is None:
            return []
        self._latest.playback.pause(now)
        return [ev.PlaybackPaused(self._latest.id)]

    def resume(self, now: int) -> Events:
        """Have the client go on."""
        if self._latest is None:
            return []
        self._latest.playback.resume(now)
        return [ev.PlaybackResumed(self._latest.id)]
