"""What was said, written down by the transformer itself: of the sentences that were likely heard it chooses
the one that it finds likely to be said. A file is not in a hurry: each of its utterances is heard at three
speeds, because what one look mistakes another need not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import soxr
import torch
from torch import Tensor

from assistant.model.chat import ChatFormat
from assistant.model.decoder import Decoder
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, Hearing, HearingState, audible
from assistant.model.scribe import Look, Scribe
from audiocodec.numbers import ENCODER_BLOCK_LENGTH, SAMPLE_RATE
from audiocodec.reader import Reading

NO_WORDS = "I couldn't hear any words."
PAUSE_BLOCKS = 5  # blocks without speech that end an utterance: 0.8 s
LONGEST_S = 16.0  # an utterance is written down after it at the latest
SPEECH = 0.5
SPEEDS = (0.93, 1.07)  # at which an utterance is heard again
STRIDE = 4  # blocks by which the ear's window is moved then


@dataclass(frozen=True, slots=True)
class Stretch:
    """One stretch of speech as it was heard."""

    embeddings: Tensor  # (T, D) for the transformer, the summary last
    reading: Reading  # (frames,)
    sound: Tensor  # (n,) samples at 24 kHz
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech, written down."""

    text: str
    start_s: float
    end_s: float


def utterances(hearing: Hearing, pieces: Iterable[Tensor]) -> Iterator[Stretch]:
    """Cut sound (pieces of (n,) samples at 24 kHz) at pauses.

    Stretches without a word give nothing. Memory does not grow with the sound.
    """
    state, quiet, start, blocks = hearing.initial_state(), 0, 0, 0
    found: list[Tensor] = []
    readings: list[Reading] = []
    sound: list[Tensor] = []
    block_s = ENCODER_BLOCK_LENGTH / SAMPLE_RATE
    for piece in pieces:
        for part in torch.split(piece, ENCODER_BLOCK_LENGTH):
            heard, state = hearing.step(state, part)
            found.append(heard.embeddings)
            readings.append(heard.reading)
            sound.append(part)
            blocks = start + state.frames // 2
            quiet = 0 if heard.speech > SPEECH else quiet + 1
            spoken = state.runs > 0 or state.run is not None
            if (spoken and quiet >= PAUSE_BLOCKS) or state.frames * block_s / 2 >= LONGEST_S:
                yield from _close(hearing, state, (found, readings, sound), start * block_s)
                state, found, readings, sound = hearing.initial_state(), [], [], []
                quiet, start = 0, blocks
    yield from _close(hearing, state, (found, readings, sound), start * block_s)


def _close(
    hearing: Hearing,
    state: HearingState,
    so_far: tuple[list[Tensor], list[Reading], list[Tensor]],
    start_s: float,
) -> Iterator[Stretch]:
    heard, state = hearing.flush(state)
    if state.runs:
        embeddings = torch.cat([*so_far[0], heard.embeddings])
        reading = Reading.joined([*so_far[1], heard.reading])
        end_s = start_s + heard.frames * ENCODER_BLOCK_LENGTH / SAMPLE_RATE / 2
        yield Stretch(embeddings, reading, torch.cat(so_far[2]), start_s, end_s)


@torch.inference_mode()
def look_again(hearing: Hearing, sound: Tensor, speed: float) -> Look:
    """Hear a whole sound (n,) at 24 kHz once more, at another speed."""
    played = torch.from_numpy(soxr.resample(audible(sound).numpy(), SAMPLE_RATE, SAMPLE_RATE / speed))
    heard = hearing.listener.hear_all(played[None], STRIDE)
    return Look(hearing.listener.name(heard).reading.part(0), speed)


def between_markers(decoder: Decoder, embeddings: Tensor) -> Tensor:
    """What was heard, (T, D), with the markers around it: (T + 2, D)."""
    opening, closing = decoder.embed(torch.tensor([AUDIO_OPEN, AUDIO_CLOSE]))
    return torch.cat([opening[None], embeddings, closing[None]])


class Transcriber:
    """Writes down sound of any length."""

    def __init__(self, decoder: Decoder, hearing: Hearing, chat: ChatFormat) -> None:
        self.decoder, self.hearing, self.chat = decoder, hearing, chat
        self.scribe = Scribe(decoder, chat, hearing.reader.tokens)

    def write_down(self, reading: Reading, *again: Look) -> str:
        """Write one stretch down from what its frames (T,) say, and further looks."""
        return "".join(self.scribe.write(reading, *again))

    def __call__(self, pieces: Iterable[Tensor]) -> Iterator[Utterance]:
        """Write down pieces of (n,) samples at 24 kHz, an utterance at a time."""
        for heard in utterances(self.hearing, pieces):
            again = (look_again(self.hearing, heard.sound, speed) for speed in SPEEDS)
            yield Utterance(self.write_down(heard.reading, *again), heard.start_s, heard.end_s)
