"""From the last speech sample to the first audible answer sample, at the client; and of a chain of models."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from assistant.bench.streaming import Heard, first_audible, speak, speech_end
from assistant.errors import AssistantError
from audiocodec.numbers import SAMPLE_RATE

Audio = NDArray[np.float32]
STAGES = ("asked", "heard", "text", "audio", "decided", "sent")
USUAL_SILENCE_S = 0.5  # what chains wait for, as a rule


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and a 95th percentile, in milliseconds."""

    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, values_s: Sequence[float]) -> "Spread":
        """Of so many seconds."""
        if not values_s:
            return cls(float("nan"), float("nan"))
        values = np.asarray(values_s) * 1_000
        return cls(float(np.median(values)), float(np.percentile(values, 95)))


@dataclass(slots=True)
class LatencyReport:
    """What was measured."""

    clips: int
    answered: int
    interrupted: int  # answered before they had finished
    total: Spread
    stages: dict[str, Spread] = field(default_factory=dict)
    chain_usual: Spread | None = None  # with 500 ms of silence as its end of turn
    chain_ours: Spread | None = None  # with the daemon's own end of turn
    chain_parts: dict[str, Spread] = field(default_factory=dict)


async def measure(
    url: str, clips: Sequence[Audio], tell: Callable[[int], None]
) -> tuple[LatencyReport, list[Heard]]:
    """Speak the clips one after the other, each on a connection of its own."""
    results = []
    for number, clip in enumerate(clips, start=1):
        results.append(await speak(url, clip))
        tell(number)
    good = [one for one in results if one.first_sound_s is not None and one.interrupted_at_s is None]
    totals = [one.first_sound_s for one in good if one.first_sound_s is not None]
    stages = {
        stage: Spread.of([one.stages_ms[stage] / 1_000 for one in good if stage in one.stages_ms])
        for stage in STAGES
    }
    interrupted = sum(one.interrupted_at_s is not None for one in results)
    return LatencyReport(len(clips), len(good), interrupted, Spread.of(totals), stages), results


class Chain:
    """What the model replaces: whisper base int8, the text model, hibari, one after the other.

    The text model streams into the voice sentence by sentence, as good chains do.
    """

    def __init__(self, threads: int) -> None:
        from assistant.bench.judges.words import Whisper

        try:
            from hibari import Hibari
        except ImportError as error:
            raise AssistantError(f"{error.name} is missing: install vivavoce[train]") from error
        from assistant.model.chat import Message
        from assistant.model.checkpoint import load_checkpoint
        from assistant.model.conversation import Conversation
        from assistant.weights import store

        self._ears = Whisper(threads=threads)
        self._voice = Hibari(threads=threads)
        checkpoint = load_checkpoint(store.path("smollm2-135m-instruct", "model.gguf"))
        self._conversation: Callable[[], Conversation] = lambda: Conversation(
            checkpoint.decoder, checkpoint.tokenizer
        )
        self._message = Message

    def answer(self, audio: Audio, instructions: str) -> dict[str, float]:
        """Seconds for hearing, the first sentence and its sound, and of silence before its first sample."""
        from assistant.model.generate import Limits

        began = time.perf_counter()
        text = self._ears.hear(audio[: speech_end(audio)])
        heard = time.perf_counter()
        conversation = self._conversation()
        conversation.add(self._message("system", instructions))
        conversation.add(self._message("user", text or "Hello."))
        sentence = ""
        for piece in conversation.answer(Limits(max_tokens=64)):
            sentence += piece.text
            if sentence.rstrip().endswith((".", "!", "?")) and len(sentence.split()) > 1:
                break
        thought = time.perf_counter()
        sound = next(iter(self._voice.stream(sentence or "Yes.")), np.zeros(0, np.float32))
        spoken = time.perf_counter()
        pcm = (np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes()
        lead = (first_audible(pcm) or 0) / SAMPLE_RATE
        return {"hear": heard - began, "think": thought - heard, "speak": spoken - thought, "lead": lead}


def measure_chain(report: LatencyReport, clips: Sequence[Audio], instructions: str, threads: int) -> None:
    """Run the chain over the same clips and add its figures to the report."""
    chain = Chain(threads)
    chain.answer(clips[0], instructions)  # the first run loads and warms
    parts = [chain.answer(clip, instructions) for clip in clips]
    sums = [sum(part.values()) for part in parts]
    decided = report.stages["decided"].median_ms / 1_000
    report.chain_usual = Spread.of([USUAL_SILENCE_S + total for total in sums])
    report.chain_ours = Spread.of([decided + total for total in sums])
    report.chain_parts = {name: Spread.of([part[name] for part in parts]) for name in parts[0]}
