"""Speak a given text: the transformer reads it as its own answer, and its states are spoken as they come."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from assistant.model.checkpoint import leave_cores, load_checkpoint
from assistant.model.decoder import Decoder
from assistant.model.kv_cache import CacheShape
from assistant.model.speaking.loading import VOICE, load_speaker
from assistant.model.speaking.speaker import Manner, Piece, Speaker
from assistant.model.tokenizer import TextStream, Tokenizer
from assistant.weights import store

FIRST_BLOCK, BLOCK = 6, 32  # tokens read at once: few at first, so that the voice begins early
SHAPE = CacheShape(window=512, sinks=4, rewind=0)


def token_states(
    decoder: Decoder, ids: list[int], layer: int, prompt: list[int]
) -> Iterator[tuple[int, Tensor]]:
    """Give each token of a text with its embedding and hidden state, (2 * D,), block by block."""
    cache = decoder.new_cache(SHAPE)
    decoder.prefill(cache, torch.tensor(prompt))
    place = 0
    while place < len(ids):
        block = torch.tensor(ids[place : place + (BLOCK if place else FIRST_BLOCK)])
        hidden = decoder.prefill(cache, block, layer=layer).hidden
        assert hidden is not None
        states = torch.cat([decoder.embed(block), hidden], dim=-1)  # see Speaker.token_state
        yield from zip(block.tolist(), states, strict=True)
        place += len(block)


def answer_prompt(tokenizer: Tokenizer) -> list[int]:
    """What stands before an answer."""
    return [tokenizer.marker("<|im_start|>"), *tokenizer.encode("assistant\n")]


@dataclass(frozen=True, slots=True)
class Reciter:
    """Everything that speaking a text needs, loaded once."""

    speaker: Speaker
    decoder: Decoder
    tokenizer: Tokenizer

    def recite(self, text: str, manner: Manner, seed: int = 0) -> Iterator[Piece]:
        """Speak a text piece by piece; memory does not grow with its length."""
        speaker = self.speaker
        state = speaker.initial_state(manner.style, manner.rate, manner.pitch, manner.volume, seed)
        stream = TextStream(self.tokenizer)
        prompt, ids = answer_prompt(self.tokenizer), self.tokenizer.encode(text)
        for token, hidden in token_states(self.decoder, ids, speaker.layer, prompt):
            pieces, state = speaker.push(state, stream.push([token]), hidden)
            yield from pieces
        if rest := stream.flush():
            pieces, state = speaker.push(state, rest, torch.zeros(speaker.head.config.state_width))
            yield from pieces
        yield from speaker.finish(state)


def load_reciter(voice: Path | None = None) -> Reciter:
    """Load the voice and the transformer, which is fetched when it is missing."""
    speaker = load_speaker(voice or VOICE)
    path = store.path("smollm2-135m-instruct", "model.gguf")
    checkpoint = load_checkpoint(path)
    leave_cores(checkpoint.decoder)
    return Reciter(speaker, checkpoint.decoder, checkpoint.tokenizer)
