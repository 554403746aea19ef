"""What the engine remembers of one conversation: its items, and where they lie in the cache."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from assistant.engine.answering import Answering, Spoken
from assistant.model.decoder import StepOutput
from assistant.model.hearing import HeardBlock, HearingState
from assistant.model.kv_cache import KVCache
from audiocodec.reader import Reading


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of transformer inputs of one kind."""

    kind: str  # "text", "audio" or "image"
    inputs: Tensor  # (T,) int64 token ids or (T, D) embeddings
    reading: Reading | None = None  # of sound: what it is written down from


@dataclass(slots=True)
class Item:
    """One message: what was written between the turn's markers, so that it can be written again."""

    name: str
    role: str
    segments: list[Segment] = field(default_factory=list)
    start: int = 0  # cache position before the turn's opening
    spoken: tuple[Spoken, ...] = ()  # where an answer's sound lay
    text: str = ""  # of an answer

    @property
    def has_words(self) -> bool:
        """Whether anything but empty sound is in it."""
        return any(len(segment.inputs) for segment in self.segments)


@dataclass(frozen=True, slots=True)
class OpenAudio:
    """Sound that is being heard for the open item."""

    item: str
    state: HearingState
    begin: int  # cache position before the audio marker
    embeddings: tuple[Tensor, ...] = ()
    readings: tuple[Reading, ...] = ()  # of every frame
    unwritten: int = 0  # of the newest embeddings, how many are not in the cache yet: the last never is
    words: float | None = None  # the transformer's logit that these words are all; none while new ones come

    def heard(self) -> Tensor | None:
        """All embeddings so far, (T, D)."""
        return torch.cat(self.embeddings) if self.embeddings else None

    def longer(self, block: HeardBlock) -> "OpenAudio":
        """The same with a block; its embeddings (k, D) take back what was made of the words so far."""
        more, readings = block.embeddings, (*self.readings, block.reading)
        if not len(more):
            return replace(self, readings=readings)
        unwritten, embeddings = self.unwritten + len(more), (*self.embeddings, more)
        return replace(self, embeddings=embeddings, readings=readings, unwritten=unwritten, words=None)

    def newest(self) -> Tensor:
        """The embeddings that are not in the cache yet, (k, D) with k > 0."""
        return torch.cat(self.embeddings)[-self.unwritten :]


@dataclass(frozen=True, slots=True)
class ReopenMark:
    """What ``end_audio`` found, to go back to."""

    item: str
    audio: OpenAudio
    position: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """Markers that lie in the cache behind ``position``, in case they come next, and what they gave."""

    position: int
    ids: list[int]
    output: StepOutput


@dataclass(frozen=True, slots=True)
class Detour:
    """The conversation itself, kept aside while one answer is made under other instructions."""

    cache: KVCache
    instructions: str
    items: list[Item]
    open_item: Item | None


@dataclass(slots=True)
class Conversation:
    """One session on the engine's side; changed in place, by the engine's thread only."""

    cache: KVCache
    instructions: str
    items: list[Item] = field(default_factory=list)
    open_item: Item | None = None  # its turn has been opened and not yet closed
    audio: OpenAudio | None = None
    reopen: ReopenMark | None = None
    answering: Answering | None = None
    last: StepOutput | None = None  # what the newest prefill gave
    ahead: Ahead | None = None
    detour: Detour | None = None

    def find(self, name: str) -> Item:
        """Give an item by name.

        Raises:
            ValueError: there is none.
        """
        for item in self.items:
            if item.name == name:
                return item
        raise ValueError(f"no item {name!r} in this conversation")
