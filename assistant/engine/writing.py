"""Writing a conversation into its cache: turns, their order, and going back."""

from dataclasses import replace

import torch
from torch import Tensor

from assistant.engine.conversation import Ahead, Conversation, Detour, Item
from assistant.model.chat import ChatFormat, Message
from assistant.model.decoder import Decoder
from assistant.model.tokenizer import Tokenizer


class Writer:
    """Keeps items and cache in step. A turn is closed when the next one opens, so that it can still grow."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer) -> None:
        self.decoder, self.format = decoder, ChatFormat(tokenizer)

    def begin(self, conversation: Conversation) -> None:
        """Write the system prompt into an empty cache."""
        conversation.cache.reset()
        conversation.ahead = None
        conversation.open_item = None
        if conversation.instructions:
            self._write_ids(conversation, self.format.turn(Message("system", conversation.instructions)))

    def write(self, conversation: Conversation, inputs: Tensor, layer: int | None = None) -> None:
        """Append token ids or embeddings; ``layer`` is the one whose stream is kept with the logits."""
        conversation.ahead = None
        conversation.last = self.decoder.prefill(conversation.cache, inputs, layer)

    def close_sound(self, conversation: Conversation, inputs: Tensor, layer: int | None) -> Tensor | None:
        """Append the end of a sound (k, D); gives its stream (k, D) after ``layer`` layers.

        An answer is what comes next, as a rule: its markers go through the same pass, which reads all weights
        anyway, and are taken back; ``enter`` finds them.
        """
        ids, cache = self.format.close() + self.format.open("assistant"), conversation.cache
        markers = self.decoder.embed(torch.tensor(ids))
        output = self.decoder.prefill(cache, torch.cat([inputs, markers]), layer)
        cache.rewind(cache.position - len(ids))
        conversation.ahead = Ahead(cache.position, ids, output)
        return None if output.hidden is None else output.hidden[: len(inputs)]

    def _write_ids(self, conversation: Conversation, ids: list[int]) -> None:
        ahead, cache = conversation.ahead, conversation.cache
        if ahead is None or (ahead.position, ahead.ids) != (cache.position, ids):
            self.write(conversation, torch.tensor(ids))
            return
        cache.advance(len(ids))
        conversation.last, conversation.ahead = ahead.output, None

    def enter(self, conversation: Conversation, name: str, role: str) -> Item:
        """Go on with the open item of that name, or close what is open and open a new one at the end."""
        current = conversation.open_item
        if current is not None and current.name == name:
            return current
        item = Item(name, role, start=conversation.cache.position)
        closing = self.format.close() if current is not None else []
        self._write_ids(conversation, closing + self.format.open(role))
        conversation.items.append(item)
        conversation.open_item = item
        return item

    def add_item(self, conversation: Conversation, item: Item) -> None:
        """Write a known item at the end and leave it open."""
        opened = self.enter(conversation, item.name, item.role)
        opened.segments, opened.spoken, opened.text = item.segments, item.spoken, item.text
        for segment in item.segments:
            self.write(conversation, segment.inputs)

    def rewrite(self, conversation: Conversation, items: list[Item]) -> None:
        """Write everything anew with exactly these items."""
        conversation.items.clear()
        conversation.audio = conversation.reopen = None
        self.begin(conversation)
        for item in items:
            self.add_item(conversation, item)

    def rewrite_from(self, conversation: Conversation, first: Item) -> None:
        """Write ``first`` and what follows it again, after its content was changed."""
        index = conversation.items.index(first)
        before, after = conversation.items[:index], conversation.items[index:]
        if first.start < conversation.cache.earliest:
            self.rewrite(conversation, [*before, *after])
            return
        self._go_back(conversation, before, first.start)
        for item in after:
            self.add_item(conversation, item)

    def remove(self, conversation: Conversation, item: Item) -> None:
        """Take the last item out again, as if its turn had never been opened."""
        before = conversation.items[: conversation.items.index(item)]
        if item.start < conversation.cache.earliest:
            self.rewrite(conversation, before)
        else:
            self._go_back(conversation, before, item.start)

    def detour(self, conversation: Conversation, instructions: str) -> None:
        """Put the conversation aside and go on in a copy of it under other instructions."""
        kept, conversation.ahead = conversation.items, None
        conversation.detour = Detour(
            conversation.cache, conversation.instructions, kept, conversation.open_item
        )
        conversation.cache = self.decoder.new_cache(conversation.cache.shape)
        conversation.instructions = instructions
        conversation.items = []
        self.begin(conversation)
        for item in kept:
            self.add_item(conversation, replace(item))

    def come_back(self, conversation: Conversation, answer: Item) -> Item:
        """End a detour, if there is one: the conversation goes on with the answer as its last item."""
        detour = conversation.detour
        if detour is None:
            return answer
        conversation.detour = None
        conversation.cache, conversation.instructions = detour.cache, detour.instructions
        conversation.items, conversation.open_item = detour.items, detour.open_item
        self.add_item(conversation, answer)
        return conversation.items[-1]

    def count(self, conversation: Conversation) -> dict[str, int]:
        """How many positions of the conversation are text (with all markers), audio and pictures."""
        counts = {"text": 0, "audio": 0, "image": 0}
        for item in conversation.items:
            for segment in item.segments:
                counts[segment.kind] += len(segment.inputs)
        counts["text"] = conversation.cache.position - counts["audio"] - counts["image"]
        return counts

    def _go_back(self, conversation: Conversation, before: list[Item], position: int) -> None:
        conversation.cache.rewind(position)
        conversation.items = before
        conversation.open_item = before[-1] if before else None
