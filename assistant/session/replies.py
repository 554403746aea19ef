"""One answer from being asked for to being over, and what it tells the client meanwhile."""

from dataclasses import dataclass, field, replace

from assistant.session.clock import to_samples
from assistant.session.engine import AudioPiece, Report, Usage
from assistant.session.items import Item, Part
from assistant.session.playback import Playback
from assistant.session.settings import ReplyOptions

AUDIO, TEXT = "audio", "text"


@dataclass(slots=True)
class Reply:
    """The state of one answer."""

    number: int
    session: str  # the engine's name of the conversation that it is made in
    id: str
    item_id: str
    options: ReplyOptions
    aloud: bool
    spoken_turn: bool = False
    held: bool = False  # begun on suspicion; nothing is told to the client
    pending: list[Report] = field(default_factory=list)  # what came while it was held
    items: list[Item] = field(default_factory=list)  # shown to the client
    ended: bool = False  # the engine has reported its end
    cancel_reason: str | None = None
    heard: int | None = None  # samples, once it was cut
    playback: Playback = field(default_factory=Playback)
    track: "Track" = field(default_factory=lambda: Track())

    @property
    def detached(self) -> bool:
        """Outside the conversation."""
        return self.options.detached

    @property
    def message(self) -> Item | None:
        """The spoken or written message, once it has begun."""
        return next((item for item in self.items if item.kind == "message"), None)

    def outcome(self, reason: str) -> tuple[str, str | None]:
        """The answer's status and the reason for it, from the engine's word on how it ended."""
        if self.cancel_reason is not None:
            return "cancelled", self.cancel_reason
        if reason == "max_tokens":
            return "incomplete", "max_output_tokens"
        if reason == "failed":
            return "failed", None
        return "completed", None


@dataclass(slots=True)
class Track:
    """Which text goes with which sound, so that a shortened answer keeps the words that were heard."""

    text: str = ""
    samples: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list)  # (samples at the end of a piece, text_end)
    cut: int | None = None  # samples, once shortened

    def sound(self, piece: AudioPiece, samples: int) -> None:
        """Note a piece of sound."""
        self.samples = piece.start + samples
        self.marks.append((self.samples, piece.text_end))

    def heard_text(self, heard: int) -> str:
        """The words whose sound had ended, with a little grace for the last one."""
        grace = to_samples(120)
        ends = [text_end for end, text_end in self.marks if end <= heard + grace]
        return self.text[: ends[-1]] if ends else ""


def message_item(reply: Reply, status: str = "in_progress") -> Item:
    """The answer's message as it stands."""
    track = reply.track
    text = track.text if track.cut is None else track.heard_text(track.cut)
    samples = track.samples if track.cut is None else min(track.cut, track.samples)
    part = Part(AUDIO if reply.aloud else TEXT, text, samples if reply.aloud else 0)
    return Item(reply.item_id, role="assistant", parts=(part,), status=status)


def shortened(item: Item, track: Track) -> Item:
    """The message after a cut that came when it was complete."""
    cut = min(track.cut or 0, track.samples)
    part = replace(item.parts[0], text=track.heard_text(cut), samples=cut)
    return replace(item, parts=(part, *item.parts[1:]))


NO_USAGE = Usage()
