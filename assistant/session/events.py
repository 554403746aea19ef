"""What crosses the boundary of the session core: client events in, session events out. Values only."""

from dataclasses import dataclass, field

from assistant.session.engine import AudioPiece, Usage
from assistant.session.items import Item
from assistant.session.settings import ReplyOptions, Settings

# ---- in


@dataclass(frozen=True, slots=True)
class Configure:
    """New settings, whole."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class AppendAudio:
    """Sound from the microphone (int16 at 24 kHz) and the camera frames that were taken meanwhile."""

    pcm: bytes
    frames: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CommitAudio:
    """The buffer becomes a user message."""


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Throw the buffer away."""


@dataclass(frozen=True, slots=True)
class CreateItem:
    """Put an item into the conversation."""

    item: Item
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class RetrieveItem:
    """Show an item."""

    item_id: str


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Take an item out."""

    item_id: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Only so much of an answer was played."""

    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class CreateReply:
    """Answer now."""

    options: ReplyOptions


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop the answer."""

    reply_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClearOutput:
    """Stop the answer's sound, if there is any."""


@dataclass(frozen=True, slots=True)
class Played:
    """So much of an answer has left the loudspeaker."""

    item_id: str
    played_ms: int


@dataclass(frozen=True, slots=True)
class Elapsed:
    """So many samples of time have passed without sound from the client."""

    samples: int


ClientEvent = (
    Configure
    | AppendAudio
    | CommitAudio
    | ClearAudio
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | CreateReply
    | CancelReply
    | ClearOutput
    | Played
    | Elapsed
)

# ---- out


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user has begun to speak; a playing answer is to stop."""

    item_id: str
    start: int  # position of the first sample that counts
    onset: int  # position where the speech itself began
    decided: int  # position at which that was known
    interrupted: str | None = None  # the answer that was cut off


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user's turn is over."""

    item_id: str
    end: int  # position of the last speech sample
    decided: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The buffer has become an item."""

    item_id: str
    previous: str | None


@dataclass(frozen=True, slots=True)
class Cleared:
    """The buffer is empty."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody spoke for the idle time."""

    item_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ItemAdded:
    """An item has been put into the conversation, and is complete."""

    item: Item
    previous: str | None


@dataclass(frozen=True, slots=True)
class ItemRetrieved:
    """An item, as it is."""

    item: Item


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    """An item is gone."""

    item_id: str


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    """An answer has been shortened."""

    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class Transcribed:
    """Some of what the user said, written down; the last one is final and has all of it."""

    item_id: str
    content_index: int
    text: str
    final: bool
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    """No transcript for this item."""

    item_id: str
    content_index: int
    message: str


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """An answer is being made."""

    reply_id: str
    options: ReplyOptions
    aloud: bool
    spoken_turn: bool  # it answers speech whose end the session found


@dataclass(frozen=True, slots=True)
class OutputStarted:
    """An item of an answer begins. ``index`` counts the answer's items."""

    reply_id: str
    index: int
    item: Item
    previous: str | None
    detached: bool


@dataclass(frozen=True, slots=True)
class Said:
    """More text of the answer's message."""

    reply_id: str
    index: int
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Sounded:
    """More sound of the answer's message."""

    reply_id: str
    index: int
    item_id: str
    piece: AudioPiece


@dataclass(frozen=True, slots=True)
class OutputEnded:
    """An item of an answer is as complete as it gets."""

    reply_id: str
    index: int
    item: Item
    detached: bool


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The answer is over."""

    reply_id: str
    status: str  # "completed", "cancelled", "incomplete" or "failed"
    reason: str | None
    usage: Usage
    items: tuple[Item, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class PlaybackPaused:
    """Hold the loudspeaker."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class PlaybackResumed:
    """Go on."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class OutputCleared:
    """The answer's sound was stopped on request."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something failed without a client event at fault; ``fatal`` ends the session."""

    code: str
    message: str
    fatal: bool = False


SessionEvent = (
    SpeechStarted
    | SpeechStopped
    | Committed
    | Cleared
    | TimedOut
    | ItemAdded
    | ItemRetrieved
    | ItemDeleted
    | ItemTruncated
    | Transcribed
    | TranscriptionFailed
    | ReplyStarted
    | OutputStarted
    | Said
    | Sounded
    | OutputEnded
    | ReplyEnded
    | PlaybackPaused
    | PlaybackResumed
    | OutputCleared
    | Problem
)
