"""A model, a voice detector and sounds that need no weights, for every test above the transformer."""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from assistant.engine.model import Call, Heard, Sound, Step
from assistant.session.engine import Answer, Command, Load, Report, Usage
from audiocodec.numbers import ENCODER_BLOCK_LENGTH, MEL_HOP_LENGTH, N_MELS, SAMPLE_RATE

PIECE = 1_920  # samples of sound for one word: 80 ms


def tone(seconds: float, hz: float = 220.0, level: float = 0.3) -> bytes:
    """A buzz with overtones, as int16 at 24 kHz; loud, periodic and bright enough to count as a voice."""
    values = []
    for n in range(int(seconds * SAMPLE_RATE)):
        phase = 2 * math.pi * hz * n / SAMPLE_RATE
        value = sum(math.sin(k * phase) / k**0.5 for k in range(1, 12)) / 4
        values.append(int(max(-1.0, min(1.0, level * value)) * 32_767))
    return struct.pack(f"<{len(values)}h", *values)


def silence(seconds: float) -> bytes:
    """Digital silence, as int16 at 24 kHz."""
    return bytes(2 * int(seconds * SAMPLE_RATE))


class LoudVoice:
    """Whatever is loud is speech."""

    def speech(self, frame: object) -> bool:
        return float(abs(frame).max()) > 0.02  # type: ignore[arg-type]  # an array of floats


def counter() -> Callable[[str], str]:
    """Ids that count up, for tests that compare them."""
    seen: dict[str, int] = {}

    def new_id(kind: str) -> str:
        seen[kind] = seen.get(kind, 0) + 1
        return f"{kind}_{seen[kind]}"

    return new_id


class FakeEngine:
    """Takes commands down and says nothing; the test speaks for it."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.receivers: dict[str, Callable[[Report], None]] = {}

    def submit(self, command: Command) -> None:
        self.commands.append(command)

    def subscribe(self, session: str, receive: Callable[[Report], None]) -> None:
        self.receivers[session] = receive

    def load(self) -> Load:
        return Load()

    def close(self) -> None:
        """Nothing to stop."""

    def names(self) -> list[str]:
        return [type(command).__name__ for command in self.commands]

    def last(self, kind: type[Command]) -> Command:
        return next(command for command in reversed(self.commands) if isinstance(command, kind))


@dataclass
class FakeConversation:
    """What the fake model knows: items in order, and the words still to be said."""

    instructions: str
    items: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    heard_bytes: dict[str, int] = field(default_factory=dict)
    loud: bool = False
    answer: Answer | None = None
    words: list[str] = field(default_factory=list)
    said: str = ""
    spoken: int = 0
    usage: Usage = field(default_factory=Usage)


class FakeOmni:
    """Answers typed text with an echo of it and speech with its length; each word sounds for 80 ms.

    It finds an utterance finished when the latest block is silent, unless ``patient``. A text that begins
    with ``call NAME`` is answered with a call of that tool, where the answer may be one.
    """

    def __init__(self, patient: bool = False, fail_on: str = "") -> None:
        self.patient, self.fail_on = patient, fail_on
        self.open_conversations = 0

    def open(self, instructions: str) -> FakeConversation:
        self.open_conversations += 1
        return FakeConversation(instructions)

    def copy(self, source: FakeConversation, instructions: str, items: Sequence[str]) -> FakeConversation:
        self.open_conversations += 1
        return FakeConversation(instructions, {name: list(source.items[name]) for name in items})

    def hear(self, conversation: FakeConversation, item: str, pcm: bytes) -> list[Heard]:
        before = conversation.heard_bytes.get(item, 0)
        conversation.heard_bytes[item] = before + len(pcm)
        conversation.loud = any(abs(value) > 600 for (value,) in struct.iter_unpack("<h", pcm[-640:]))
        block = 2 * ENCODER_BLOCK_LENGTH
        ends = range((before // block + 1) * block, conversation.heard_bytes[item] + 1, block)
        return [self._heard(conversation, end // 2) for end in ends]

    def _heard(self, conversation: FakeConversation, position: int) -> Heard:
        finished = 0.0 if conversation.loud or self.patient else 1.0
        return Heard(position, finished, float(conversation.loud))

    def overhear(self, pcm: bytes) -> float:
        return 0.1

    def end_audio(self, conversation: FakeConversation, item: str) -> list[Heard]:
        samples = conversation.heard_bytes.get(item, 0) // 2
        conversation.items[item] = [("user", f"{samples / SAMPLE_RATE:.1f} seconds of sound")]
        return [self._heard(conversation, samples)] if samples else []

    def drop_audio(self, conversation: FakeConversation, item: str) -> None:
        conversation.heard_bytes.pop(item, None)

    def add_text(self, conversation: FakeConversation, item: str, role: str, text: str) -> None:
        conversation.items.setdefault(item, []).append((role, text))

    def add_frame(self, conversation: FakeConversation, item: str, image: bytes) -> None:
        conversation.items.setdefault(item, []).append(("user", f"a picture of {len(image)} bytes"))

    def begin_answer(self, conversation: FakeConversation, answer: Answer) -> None:
        text = next((parts[-1][1] for parts in reversed(conversation.items.values()) if parts), "nothing")
        if self.fail_on and self.fail_on in text:
            raise RuntimeError("asked to fail")
        conversation.answer, conversation.said, conversation.spoken = answer, "", 0
        conversation.words = f"You said {text} .".split()[: answer.max_tokens]
        if text.startswith("call ") and answer.tools:
            conversation.words = [text]
        conversation.usage = Usage(input_text=len(text.split()), input_audio=0)

    def step(self, conversations: Sequence[FakeConversation]) -> list[Step]:
        return [self._step(conversation) for conversation in conversations]

    def _step(self, conversation: FakeConversation) -> Step:
        answer = conversation.answer
        assert answer is not None
        if conversation.words[:1] and conversation.words[0].startswith("call "):
            name = conversation.words.pop().split()[1]
            call = Call(name, '{"x": 1}')
            conversation.items[answer.item] = [("assistant", name)]
            return Step(call=call, done="tool_call", usage=replace(conversation.usage, output_text=1))
        if not conversation.words:
            usage = replace(conversation.usage, output_text=conversation.spoken)
            conversation.items[answer.item] = [("assistant", conversation.said)]
            full = conversation.spoken >= answer.max_tokens
            return Step(done="max_tokens" if full else "stop", usage=usage)
        word = conversation.words.pop(0) + " "
        conversation.said += word
        conversation.spoken += 1
        sounds = (self._sound(len(conversation.said)),) if answer.aloud else ()
        return Step(text=word, tokens=1, sounds=sounds)

    def _sound(self, text_end: int) -> Sound:
        mel = bytes([128]) * (PIECE // MEL_HOP_LENGTH * N_MELS)
        return Sound(tone(PIECE / SAMPLE_RATE, 330.0, 0.1), mel, text_end)

    def cancel(self, conversation: FakeConversation, heard: int, reopen: bool) -> Usage:
        usage = replace(conversation.usage, output_text=conversation.spoken)
        if conversation.answer is not None and heard:
            words = conversation.said.split()[: heard // PIECE]
            conversation.items[conversation.answer.item] = [("assistant", " ".join(words))]
        conversation.answer = None
        return usage

    def truncate(self, conversation: FakeConversation, item: str, heard: int) -> None:
        words = conversation.items[item][0][1].split()[: heard // PIECE]
        conversation.items[item] = [("assistant", " ".join(words))]

    def rebuild(self, conversation: FakeConversation, instructions: str, items: Sequence[str]) -> None:
        conversation.instructions = instructions
        conversation.items = {name: conversation.items[name] for name in items if name in conversation.items}

    def transcribe(self, conversation: FakeConversation, item: str) -> Iterator[str]:
        yield from conversation.items[item][0][1].split(" ", 1)

    def close(self, conversation: FakeConversation) -> None:
        self.open_conversations -= 1
