"""What a client may set for its session."""

from dataclasses import dataclass, field

from assistant.session.turn import TurnPolicy

DEFAULT_INSTRUCTIONS = "You are Viva, a friendly voice assistant. Answer briefly."  # as in training
PATIENCE_MS = {"low": 5_000, "medium": 2_500, "high": 1_250, "auto": 2_500}
DOUBT_PART = 1.6  # a full doubt is worth so many times the patience
MAX_TOKENS = 4_096
STYLES = (
    "neutral",
    "cheerful",
    "calm",
    "whisper",
    "excited",
)  # how the voice may sound; the first by default


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """How the end of the user's turn is found."""

    kind: str = "semantic_vad"  # or "server_vad"
    eagerness: str = "auto"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True

    def policy(self) -> TurnPolicy:
        """The turn machine's numbers for these settings."""
        if self.kind == "semantic_vad":
            patience_ms = PATIENCE_MS[self.eagerness]
            return TurnPolicy(doubt_ms=round(DOUBT_PART * patience_ms), patience_ms=patience_ms)
        silence_ms = self.silence_duration_ms
        return TurnPolicy(finished_ms=silence_ms, patience_ms=silence_ms, by_score=False)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    parameters: str  # JSON schema, one line


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about a session that the core must know."""

    instructions: str = DEFAULT_INSTRUCTIONS
    aloud: bool = True
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"  # "none", "auto", "required" or the name of a tool
    max_tokens: int = MAX_TOKENS
    transcribe: bool = False
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    speed: float = 1.0
    style: str = STYLES[0]
    echo_cancelled: bool = False
    can_pause: bool = False  # the client knows how to hold its loudspeaker


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """What ``response.create`` may ask for; None means as in the session."""

    instructions: str | None = None
    aloud: bool | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: str | None = None
    max_tokens: int | None = None
    metadata: dict[str, str] | None = None
    detached: bool = False  # outside the conversation
    input: tuple[object, ...] | None = None  # items.Item, or an id of an item, instead of the conversation
    output_format: str | None = None
