"""What a session asks of the engine, and what the engine answers.

Values only: the session core produces commands and consumes reports, and never sees a tensor or a thread.
All positions are samples at 24 kHz on the session's own clock. ``answer`` numbers an assistant answer
within its session and grows by one each time, so that whatever carries an old number can be dropped.
``item`` names a message; several commands with one item make up one message (a picture and a sentence,
say), and the engine remembers what each item holds until the session is closed, so that ``Rebuild`` and
``Open`` can write it again.

Commands of one session are carried out in the order in which they were given, with one exception: while an
answer is being made, everything but ``Cancel``, ``Transcribe``, ``Overhear`` and ``Close`` waits until it has
ended.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

# ---- commands: session -> engine -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a conversation with a system prompt (instructions, tools already written into it).

    With ``source`` it begins with a copy of these items of another open session, in this order: for answers
    outside the conversation.
    """

    session: str
    instructions: str
    source: str | None = None
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hear:
    """Append user speech; the engine encodes whole blocks and keeps the rest until more comes.

    The first Hear after anything else opens a user turn.
    """

    session: str
    item: str
    pcm: bytes  # int16 little-endian mono at 24 kHz
    start: int  # position of the first sample; within one item there are no gaps


@dataclass(frozen=True, slots=True)
class EndAudio:
    """The user's utterance ends here: encode what is left over and close the audio span, not the turn.

    A TurnScore for the end of the audio follows at once. ``Cancel(reopen=True)`` undoes this too.
    """

    session: str
    item: str


@dataclass(frozen=True, slots=True)
class DropAudio:
    """Take back what was heard for an item whose audio has not ended, as if it had never been said."""

    session: str
    item: str


@dataclass(frozen=True, slots=True)
class AddText:
    """Append a whole text message: typed user text, an earlier answer, a system note or a tool's result."""

    session: str
    item: str
    role: str  # "user", "assistant", "system" or "tool"
    text: str


@dataclass(frozen=True, slots=True)
class AddFrame:
    """Append a camera frame or a picture, in the order in which it was seen."""

    session: str
    item: str
    image: bytes  # a whole JPEG or PNG file whose size was checked


@dataclass(frozen=True, slots=True)
class Speech:
    """How an answer should sound."""

    style: str = "neutral"
    rate: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Close the user's turn and answer; asked for early (speculative), it may be cancelled unheard."""

    session: str
    answer: int
    item: str  # the assistant message that this answer becomes
    instructions: str | None = None  # for this answer only, instead of the conversation's own
    aloud: bool = True
    speech: Speech = field(default_factory=Speech)
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    tools: bool = False  # a tool call may be the answer


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop an answer within one decode step and keep only what was heard of it.

    ``heard`` is the number of samples of the answer that the user heard: 0 takes the whole answer back, and
    with ``reopen`` the user's turn is open again as if neither the answer nor the EndAudio before it had
    been. Of an answer that is not spoken, the text that it has is kept (without ``reopen``).

    An AnswerDone with the reason ``cancelled`` follows, unless the answer had ended already: then this only
    shortens it (or reopens the turn) and nothing follows.
    """

    session: str
    answer: int
    heard: int
    reopen: bool = False


@dataclass(frozen=True, slots=True)
class Truncate:
    """Shorten an ended answer to what was heard of it. What follows it in the conversation is kept."""

    session: str
    answer: int
    item: str
    heard: int


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Write the conversation anew with these instructions and items, after one in the middle was changed."""

    session: str
    instructions: str
    items: tuple[str, ...]  # kept items, in order; the others are forgotten


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Write down what was said in an audio item; never a step on the way to an answer."""

    session: str
    item: str


@dataclass(frozen=True, slots=True)
class Overhear:
    """Tell the words of a short sound that came while an answer is heard. The conversation never knows of it,
    and an Overheard follows.
    """

    session: str
    pcm: bytes  # int16 little-endian mono at 24 kHz


@dataclass(frozen=True, slots=True)
class Close:
    """Free everything of this session."""

    session: str


Command = (
    Open
    | Hear
    | EndAudio
    | DropAudio
    | AddText
    | AddFrame
    | Answer
    | Cancel
    | Truncate
    | Rebuild
    | Transcribe
    | Overhear
    | Close
)

# ---- reports: engine -> session ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnScore:
    """How likely the user has finished, judged after hearing everything before ``position``."""

    session: str
    position: int
    finished: float  # 0..1
    speech: float  # 0..1, how much of the last block is speech


@dataclass(frozen=True, slots=True)
class AnswerBegun:
    """Everything that was heard is in the cache, and the first words are being looked for."""

    session: str
    answer: int


@dataclass(frozen=True, slots=True)
class TextPiece:
    """The next piece of an answer's text."""

    session: str
    answer: int
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """The next piece of an answer's sound, with the mel frames it was made from."""

    session: str
    answer: int
    pcm: bytes  # int16 little-endian mono at 24 kHz
    start: int  # samples since the answer's first
    mel: bytes  # uint8 (frames, N_MELS) row-major, 0 = floor, 255 = loudest; for display
    text_end: int  # characters of the answer's text that this sound completes


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The answer is a call of a tool."""

    session: str
    answer: int
    name: str
    arguments: str  # JSON


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that went into and came out of one answer."""

    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached: int = 0
    output_text: int = 0
    output_audio: int = 0


@dataclass(frozen=True, slots=True)
class AnswerDone:
    """An answer ended: ``stop``, ``max_tokens``, ``cancelled`` or ``tool_call``."""

    session: str
    answer: int
    reason: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Transcript:
    """The next piece of what the transformer wrote down for an audio item; the last one is ``final``."""

    session: str
    item: str
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class Overheard:
    """What ``Overhear`` asked for: how likely (0 to 1) the sound only shows that somebody listens."""

    session: str
    agreement: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A command could not be carried out; the session goes on unless ``fatal``."""

    session: str
    message: str
    answer: int | None = None
    item: str | None = None
    fatal: bool = False


Report = (
    TurnScore | AnswerBegun | TextPiece | AudioPiece | ToolCall | AnswerDone | Transcript | Overheard | Failed
)


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the worker is, for the metrics."""

    sessions: int = 0
    answering: int = 0
    queued: int = 0  # commands
    sound_s: float = 0.0  # made since the start
    busy_s: float = 0.0  # spent on making it


class Engine(Protocol):
    """The worker that owns the device and steps all sessions together."""

    def submit(self, command: Command) -> None:
        """Queue a command; never blocks. Raises EngineError when the session's queue is full."""
        ...

    def subscribe(self, session: str, receive: Callable[[Report], None]) -> None:
        """Deliver a session's reports to ``receive``: on the engine's thread, so it must not block.

        To be called before the session's first command; Close ends it.
        """
        ...

    def load(self) -> Load:
        """Give the present load."""
        ...

    def close(self) -> None:
        """Stop the worker after the command in hand."""
        ...
