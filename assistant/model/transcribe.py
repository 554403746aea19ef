"""What was said, written down by the transformer itself: it hears an utterance and is asked for its words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from assistant.model.chat import ChatFormat
from assistant.model.decoder import Decoder
from assistant.model.generate import Limits, generate
from assistant.model.heard_words import HeardWords
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, Hearing, HearingState
from assistant.model.tokenizer import Tokenizer
from audiocodec.numbers import ENCODER_BLOCK_LENGTH, SAMPLE_RATE

WRITE_DOWN = "Write down what I said."
NO_WORDS = "I couldn't hear any words."
PAUSE_BLOCKS = 5  # blocks without speech that end an utterance: 0.8 s
LONGEST_S = 16.0  # an utterance is written down after it at the latest
TOKENS_PER_RUN = 3  # a run seldom stands for more; a bound on what can be written, not a goal
SPARE_TOKENS = 4
SPEECH = 0.5
MARKS = (".", ",", "?", "!")  # not heard by themselves


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech, written down."""

    text: str
    start_s: float
    end_s: float


def utterances(hearing: Hearing, pieces: Iterable[Tensor]) -> Iterator[tuple[Tensor, float, float]]:
    """Cut sound (pieces of (n,) samples at 24 kHz) at pauses; give embeddings, start and end in seconds.

    Stretches without a word give nothing. Memory does not grow with the sound.
    """
    state, found, quiet, start, blocks = hearing.initial_state(), list[Tensor](), 0, 0, 0
    block_s = ENCODER_BLOCK_LENGTH / SAMPLE_RATE
    for piece in pieces:
        for part in torch.split(piece, ENCODER_BLOCK_LENGTH):
            heard, state = hearing.step(state, part)
            found.append(heard.embeddings)
            blocks = start + state.frames // 2
            quiet = 0 if heard.speech > SPEECH else quiet + 1
            spoken = state.runs > 0 or state.run is not None
            if (spoken and quiet >= PAUSE_BLOCKS) or state.frames * block_s / 2 >= LONGEST_S:
                yield from _close(hearing, state, found, start * block_s)
                state, found, quiet, start = hearing.initial_state(), [], 0, blocks
    yield from _close(hearing, state, found, start * block_s)


def _close(
    hearing: Hearing, state: HearingState, found: list[Tensor], start_s: float
) -> Iterator[tuple[Tensor, float, float]]:
    heard, state = hearing.flush(state)
    embeddings = torch.cat([*found, heard.embeddings])
    if state.runs:
        yield embeddings, start_s, start_s + state.frames * ENCODER_BLOCK_LENGTH / SAMPLE_RATE / 2


def between_markers(decoder: Decoder, embeddings: Tensor) -> Tensor:
    """What was heard, (T, D), with the markers around it: (T + 2, D)."""
    opening, closing = decoder.embed(torch.tensor([AUDIO_OPEN, AUDIO_CLOSE]))
    return torch.cat([opening[None], embeddings, closing[None]])


def transcript_prompt(decoder: Decoder, chat: ChatFormat, audio: Tensor) -> Tensor:
    """The conversation up to the transcript, from sound between its markers: (T, D)."""
    after = [*chat.tokenizer.encode(WRITE_DOWN), *chat.close(), *chat.open("assistant")]
    return torch.cat(
        [decoder.embed(torch.tensor(chat.open("user"))), audio, decoder.embed(torch.tensor(after))]
    )


def marks(tokenizer: Tokenizer) -> list[int]:
    """Tokens that are written but not heard by themselves."""
    return [tokens[0] for mark in MARKS if len(tokens := tokenizer.encode(mark)) == 1]


def heard_words(tokenizer: Tokenizer, embedding: Tensor, heard: Tensor, end: int) -> HeardWords:
    """What keeps a transcript to the heard embeddings (T, D), the last of which sums up."""
    return HeardWords(embedding, heard[:-1], marks(tokenizer), end)


class Transcriber:
    """Asks the transformer to write down utterances, each in a conversation of its own."""

    def __init__(self, decoder: Decoder, hearing: Hearing, chat: ChatFormat) -> None:
        self.decoder, self.hearing, self.chat = decoder, hearing, chat

    def write_down(self, embeddings: Tensor) -> str:
        """Write one utterance down from its embeddings (T, D), the summary last."""
        cache = self.decoder.new_cache()
        limit = TOKENS_PER_RUN * len(embeddings) + SPARE_TOKENS
        end = self.chat.turn_end
        guide = heard_words(self.chat.tokenizer, self.hearing.embedding, embeddings, end)
        limits = Limits(limit, frozenset({end}), guide=guide)
        prompt = transcript_prompt(self.decoder, self.chat, between_markers(self.decoder, embeddings))
        ids = list(generate(self.decoder, cache, prompt, limits))
        return self.chat.tokenizer.decode(ids).strip()

    def __call__(self, pieces: Iterable[Tensor]) -> Iterator[Utterance]:
        """Write down sound of any length, an utterance at a time."""
        for embeddings, start_s, end_s in utterances(self.hearing, pieces):
            yield Utterance(self.write_down(embeddings), start_s, end_s)
