"""How fast mel head and vocoder are, the transformer's part taken out: its states are computed before."""

import time
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from assistant.model.speaking.recital import Reciter, answer_prompt, token_states
from assistant.model.speaking.speaker import Speaker
from assistant.model.tokenizer import TextStream
from audiocodec.numbers import SAMPLE_RATE

FIRST_SAMPLES = SAMPLE_RATE // 10  # "the first 100 ms"
CROWD = 8  # speakers at once
Token = tuple[str, Tensor]


def read(reciter: Reciter, text: str) -> list[Token]:
    """Give a text's tokens with their states."""
    stream, ids = TextStream(reciter.tokenizer), reciter.tokenizer.encode(text)
    states = token_states(reciter.decoder, ids, reciter.speaker.layer, answer_prompt(reciter.tokenizer))
    return [(stream.push([token]), hidden) for token, hidden in states]


def speak(speaker: Speaker, tokens: Sequence[Token]) -> tuple[float, float, int]:
    """Speak a text: seconds of computing until 100 ms of sound are there, seconds in all, samples.

    A token's time counts only from the push that begins to sound: the tokens before it exist by then.
    """
    state, samples, first, spent = speaker.initial_state(), 0, 0.0, 0.0
    sounding = 0.0
    for text, hidden in [*tokens, ("", None)]:
        begun = time.perf_counter()
        if hidden is None:
            pieces = speaker.finish(state)
        else:
            pieces, state = speaker.push(state, text, hidden)
        taken = time.perf_counter() - begun
        spent += taken
        samples += sum(len(piece.pcm) for piece in pieces)
        sounding += taken if samples else 0.0
        if not first and samples >= FIRST_SAMPLES:
            first = sounding
    return first or sounding, spent, samples


def figures(reciter: Reciter, texts: Sequence[str]) -> dict[str, float]:
    """Real-time factor, time to the first 100 ms, and the factor with eight speakers taking turns."""
    read_texts = [read(reciter, text) for text in texts]
    speak(reciter.speaker, read_texts[0])
    spoken = [speak(reciter.speaker, tokens) for tokens in read_texts]
    sound_s = sum(samples for _, _, samples in spoken) / SAMPLE_RATE
    return {
        "RTF mel head + vocoder": sum(taken for _, taken, _ in spoken) / sound_s,
        "first 100 ms of sound, ms": 1e3 * float(np.median([first for first, _, _ in spoken])),
        f"RTF {CROWD} speakers": crowd(reciter.speaker, read_texts),
    }


def crowd(speaker: Speaker, texts: Sequence[Sequence[Token]]) -> float:
    """Let eight speakers talk at once, a token each in turn: computing over the time that one talks."""
    chosen = [texts[index % len(texts)] for index in range(CROWD)]
    states, samples = [speaker.initial_state() for _ in chosen], [0] * CROWD
    begun = time.perf_counter()
    for step in range(max(len(tokens) for tokens in chosen)):
        for index, tokens in enumerate(chosen):
            if step < len(tokens):
                pieces, states[index] = speaker.push(states[index], *tokens[step])
                samples[index] += sum(len(piece.pcm) for piece in pieces)
    for index, state in enumerate(states):
        samples[index] += sum(len(piece.pcm) for piece in speaker.finish(state))
    return (time.perf_counter() - begun) * SAMPLE_RATE * CROWD / sum(samples)
