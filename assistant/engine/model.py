"""What the worker needs of an omni model. Everything is called on the worker's one thread.

The worker owns time and fairness; the model owns the transformer, the codec, the mel head and the vocoder.
Values that cross are plain Python (bytes and numbers), so that neither the worker nor its tests know
tensors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from assistant.session.engine import Answer, Usage

C = TypeVar("C")  # one conversation: cache, streaming states, the contents of its items


@dataclass(frozen=True, slots=True)
class Heard:
    """The turn head's judgement after one encoder block."""

    position: int  # samples of this item heard so far, counted from its first
    finished: float  # 0..1, how likely the user has finished
    speech: float  # 0..1, how much of the block is speech


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of the answer's sound. The worker adds up its position."""

    pcm: bytes  # int16 little-endian mono at 24 kHz
    mel: bytes  # uint8 (frames, N_MELS) row-major, for display
    text_end: int  # characters of the answer's text that are spoken at its end


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that was read out of ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``."""

    name: str
    arguments: str  # JSON


@dataclass(frozen=True, slots=True)
class Step:
    """What one step gave for one conversation. All of it may be empty."""

    text: str = ""
    tokens: int = 0  # text tokens decoded in this step
    sounds: tuple[Sound, ...] = ()
    call: Call | None = None
    done: str | None = None  # "stop", "max_tokens" or "tool_call" when text and sound have ended
    usage: Usage = field(default_factory=Usage)  # true when done is set


class OmniModel(Protocol[C]):
    """A model that hears, sees and answers in text and sound.

    A conversation is a list of items in order, and the cache holds their contents. The model keeps, for
    each item, what is needed to write it into a cache again (tokens, codec tokens, patches, an answer's
    text and where its sound lay), until the item is left out of a ``rebuild`` or the conversation is
    closed.
    """

    def open(self, instructions: str) -> C:
        """Begin a conversation with this system prompt."""
        ...

    def copy(self, source: C, instructions: str, items: Sequence[str]) -> C:
        """Begin another conversation with these items of ``source``, which stays as it is."""
        ...

    def hear(self, conversation: C, item: str, pcm: bytes) -> list[Heard]:
        """Append speech to an item; encode and prefill each whole block and keep the rest until more comes.

        The worker calls it with at most one block of sound at a time, so that one call stays short. The
        first call for a new item opens a user turn (or goes on with the open one). The encoder's streaming
        state goes on within an item and starts afresh for a new one.
        """
        ...

    def end_audio(self, conversation: C, item: str) -> list[Heard]:
        """Encode what is left over, close the audio span (not the turn), and judge the end once more.

        Must leave a mark, so that ``cancel(reopen=True)`` can go back to before this call. Gives at least one
        judgement when anything was heard. An item without sound is allowed and holds nothing.
        """
        ...

    def drop_audio(self, conversation: C, item: str) -> None:
        """Go back to before the first ``hear`` of this item; it is forgotten."""
        ...

    def add_text(self, conversation: C, item: str, role: str, text: str) -> None:
        """Append text to an item. Roles: user, assistant, system, tool; user text may follow audio."""
        ...

    def add_frame(self, conversation: C, item: str, image: bytes) -> None:
        """Append a picture (a JPEG or PNG file of at most 8 megapixels) to an item; also amid audio."""
        ...

    def begin_answer(self, conversation: C, answer: Answer) -> None:
        """Close the open turn, write the assistant's header, and remember the mark to go back to.

        With ``answer.instructions`` these hold for this answer only. ``answer.item`` becomes the answer's
        item.
        """
        ...

    def step(self, conversations: Sequence[C]) -> list[Step]:
        """Advance each answering conversation once, all as one batch; one Step for each, in order.

        One step is short (one text token each, and at most one piece of sound each), because a cancellation
        waits for it. After the text has ended the steps go on until the sound has ended as well; then
        ``done`` is set.
        """
        ...

    def cancel(self, conversation: C, heard: int, reopen: bool) -> Usage:
        """Stop the answer, keep the text whose sound had begun within ``heard`` samples; give the usage.

        With 0 nothing of the answer is kept. With ``reopen`` (and 0) the last ``end_audio`` is undone as
        well, so that ``hear`` for the same item goes on where it was. Also called after an answer has
        ended, as long as nothing was added behind it.
        """
        ...

    def truncate(self, conversation: C, item: str, heard: int) -> None:
        """Shorten an ended answer to what was heard; items behind it are written again."""
        ...

    def rebuild(self, conversation: C, instructions: str, items: Sequence[str]) -> None:
        """Write the cache anew with these instructions and exactly these items; forget the others."""
        ...

    def transcribe(self, conversation: C, item: str) -> Iterator[str]:
        """Write down an audio item in a fork of the cache, piece by piece; each ``next`` is one short step.

        Between two of them anything may happen to the conversation itself. ``close()`` on it ends it early.
        """
        ...

    def overhear(self, pcm: bytes) -> float:
        """Tell how likely (0 to 1) whoever made a sound of a second or less does not want the floor."""
        ...

    def close(self, conversation: C) -> None:
        """Free everything of this conversation."""
        ...
