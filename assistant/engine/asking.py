"""One spoken question, one spoken answer, without a daemon around them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from assistant.engine.model import Step
from assistant.engine.omni import Omni
from assistant.session.engine import Answer, Speech
from audiocodec.numbers import ENCODER_BLOCK_LENGTH, SAMPLE_RATE

BLOCK_BYTES = 2 * ENCODER_BLOCK_LENGTH
QUESTION, ANSWER = "question", "answer"


@dataclass(frozen=True, slots=True)
class Asking:
    """How to ask."""

    instructions: str
    max_tokens: int = 160
    temperature: float = 0.0
    seed: int = 0
    speech: Speech = field(default_factory=Speech)
    real_time: bool = False  # take the question in at the pace of a microphone


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer and how long it took, counted from when the question's last sample was there."""

    text: str
    pcm: bytes  # int16 little-endian mono at 24 kHz
    ttft_ms: float  # to the first text
    ttfa_ms: float  # to the first sound; 0 when there is none
    rtf: float  # time from question's end to answer's end over the answer's length

    @property
    def audio_s(self) -> float:
        """Length of the sound."""
        return len(self.pcm) / 2 / SAMPLE_RATE


def ask(omni: Omni, pieces: Iterable[bytes], how: Asking) -> Answered:
    """Hear a question, int16 little-endian mono at 24 kHz in pieces of any size, and answer it aloud."""
    conversation = omni.open(how.instructions)
    begun, heard = time.perf_counter(), 0
    for piece in pieces:
        for start in range(0, len(piece), BLOCK_BYTES):
            part = piece[start : start + BLOCK_BYTES]
            heard += len(part) // 2
            if how.real_time:
                time.sleep(max(0.0, begun + heard / SAMPLE_RATE - time.perf_counter()))
            omni.hear(conversation, QUESTION, part)
    asked = time.perf_counter()
    omni.end_audio(conversation, QUESTION)
    options = Answer(
        session="",
        answer=1,
        item=ANSWER,
        speech=how.speech,
        max_tokens=how.max_tokens,
        temperature=how.temperature,
        seed=how.seed,
    )
    omni.begin_answer(conversation, options)
    text, sound, ttft, ttfa = "", bytearray(), 0.0, 0.0
    step = Step()
    while step.done is None:
        step = omni.step([conversation])[0]
        now = (time.perf_counter() - asked) * 1e3
        text += step.text
        sound += b"".join(piece.pcm for piece in step.sounds)
        ttft = ttft or (now if text else 0.0)
        ttfa = ttfa or (now if sound else 0.0)
    taken = time.perf_counter() - asked
    omni.close(conversation)
    length_s = len(sound) / 2 / SAMPLE_RATE
    return Answered(text.strip(), bytes(sound), ttft, ttfa, taken / length_s if length_s else 0.0)
