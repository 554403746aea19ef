"""Edits of the conversation: items in, shown, out and shortened, and transcripts put into them."""

from collections.abc import Callable
from dataclasses import replace

from assistant.session import events as ev
from assistant.session.answering import Answering
from assistant.session.clock import to_ms, to_samples
from assistant.session.engine import AddFrame, AddText, EndAudio, Hear, Transcript, Truncate
from assistant.session.errors import Refused
from assistant.session.items import Item, Part
from assistant.session.replies import shortened
from assistant.session.tools import call_text

Events = list[ev.SessionEvent]


class Editing:
    """Carries out what clients do to items; the conversation itself belongs to Answering.

    ``hearing`` says whether the user's turn is open, ``now`` gives the session's clock.
    """

    def __init__(
        self,
        name: str,
        answers: Answering,
        new_id: Callable[[str], str],
        hearing: Callable[[], bool],
        now: Callable[[], int],
    ) -> None:
        self._name, self._answers, self._new_id = name, answers, new_id
        self._hearing, self._now = hearing, now

    def edit(self, event: ev.ClientEvent) -> Events:
        """Carry out a client event that shows or changes items. Raises Refused."""
        conversation = self._answers.conversation
        match event:
            case ev.CreateItem():
                return self._create_item(event)
            case ev.RetrieveItem():
                return [ev.ItemRetrieved(conversation.get(event.item_id))]
            case ev.DeleteItem():
                self._answers.refuse_active(event.item_id)
                conversation.remove(event.item_id)
                self._answers.forget(event.item_id)
                return [ev.ItemDeleted(event.item_id)]
            case ev.TruncateItem():
                return self._truncate(event)
            case _:
                raise AssertionError(f"unhandled event {event!r}")

    def _create_item(self, event: ev.CreateItem) -> Events:
        item = event.item if event.item.id else replace(event.item, id=self._new_id("item"))
        stored = _without_data(item)
        previous = self._answers.conversation.add(stored, event.previous)
        at_end = self._answers.conversation.order[-1] == item.id
        for command in self._contents(item):
            self._answers.submit_or_wait(command, self._hearing())
        self._answers.written(item.id)
        if not at_end:
            self._answers.dirty = True
        return [ev.ItemAdded(stored, previous)]

    def _contents(self, item: Item) -> list[AddText | AddFrame | Hear | EndAudio]:
        if item.kind == "function_call":
            return [AddText(self._name, item.id, "assistant", call_text(item.name, item.arguments))]
        if item.kind == "function_call_output":
            return [AddText(self._name, item.id, "tool", item.output)]
        commands: list[AddText | AddFrame | Hear | EndAudio] = []
        for part in item.parts:
            if part.kind == "image":
                commands.append(AddFrame(self._name, item.id, part.data))
            elif part.data:
                commands.append(Hear(self._name, item.id, part.data, 0))
                commands.append(EndAudio(self._name, item.id))
            else:
                commands.append(AddText(self._name, item.id, item.role, part.text or ""))
        return commands

    def _truncate(self, event: ev.TruncateItem) -> Events:
        item = self._answers.conversation.get(event.item_id)
        track = self._answers.track(item.id)
        if item.role != "assistant" or track is None:
            raise Refused("invalid_item", "Only spoken answers can be truncated.", param="item_id")
        if event.content_index != 0:
            raise Refused("invalid_value", "This item's content_index is 0.", param="content_index")
        heard = to_samples(event.audio_end_ms)
        if to_ms(track.samples) < event.audio_end_ms:
            raise Refused(
                "invalid_value",
                f"Only {to_ms(track.samples)} ms of this item exist, not {event.audio_end_ms} ms.",
                param="audio_end_ms",
            )
        events = self._answers.cut_active(item.id, heard, self._now())
        if track.cut is None or heard < track.samples:
            number = self._answers.number(item.id)
            track.cut = heard
            self._answers.submit(Truncate(self._name, number, item.id, heard))
            self._answers.conversation.replace(shortened(item, track))
        return [ev.ItemTruncated(item.id, 0, event.audio_end_ms), *events]

    def transcript(self, report: Transcript) -> Events:
        """Put a piece of what the user said into its item."""
        if report.item not in self._answers.conversation:
            return []
        item = self._answers.conversation.get(report.item)
        index = next((n for n, part in enumerate(item.parts) if part.kind == "audio"), 0)
        part = item.parts[index]
        text = (part.text or "") + report.text
        parts = (*item.parts[:index], Part("audio", text, part.samples), *item.parts[index + 1 :])
        self._answers.conversation.replace(Item(item.id, role=item.role, parts=parts))
        if report.final:
            return [ev.Transcribed(item.id, index, text.strip(), True, to_ms(part.samples) / 1_000)]
        return [ev.Transcribed(item.id, index, report.text, False)] if report.text else []


def _without_data(item: Item) -> Item:
    parts = tuple(replace(part, data=b"") for part in item.parts)
    return replace(item, parts=parts)
