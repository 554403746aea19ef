"""A tiny random transformer with simple ears and a simple voice, for tests of the engine."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer
from torch import Tensor

from assistant.engine.conversation import Conversation
from assistant.engine.model import Step
from assistant.engine.omni import Omni
from assistant.model.config import ModelConfig
from assistant.model.hearing import HeardBlock
from assistant.model.manner import TRAITS
from assistant.model.tokenizer import Tokenizer
from assistant.session.engine import Answer
from audiocodec.numbers import CODEC_HOP_LENGTH, ENCODER_BLOCK_FRAMES, ENCODER_BLOCK_LENGTH, N_MELS
from audiocodec.reader import Reading

CONFIG = ModelConfig(
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    head_dim=8,
    ffn_width=48,
    vocabulary=260,
    rope_base=10_000.0,
    norm_eps=1e-5,
    context=512,
)
BLOCK = b"\x10\x20" * ENCODER_BLOCK_LENGTH
SILENCE = bytes(len(BLOCK))


def byte_tokenizer() -> Tokenizer:
    """A vocabulary of the 256 bytes and four markers."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = FastTokenizer(models.BPE({char: index for index, char in enumerate(alphabet)}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    markers = ("<|im_start|>", "<|im_end|>", "<audio>", "</audio>")
    fast.add_special_tokens([AddedToken(marker, special=True) for marker in markers])
    return Tokenizer(fast)


@dataclass(frozen=True)
class EarState:
    pcm: Tensor
    blocks: int
    words: int = 0

    @property
    def frames(self) -> int:
        return self.blocks * ENCODER_BLOCK_FRAMES


class Ears:
    """Gives one embedding per loud block, and at the end one for each trait."""

    def initial_state(self) -> EarState:
        return EarState(torch.zeros(0), 0)

    def step(self, state: EarState, pcm: Tensor) -> tuple[HeardBlock, EarState]:
        pcm, found, blocks = torch.cat([state.pcm, pcm]), [], state.blocks
        while len(pcm) >= ENCODER_BLOCK_LENGTH:
            block, pcm = pcm[:ENCODER_BLOCK_LENGTH], pcm[ENCODER_BLOCK_LENGTH:]
            blocks += 1
            if block.abs().max() > 0:
                found.append(torch.sin(torch.arange(CONFIG.width) * block.mean() * blocks))
        embeddings = torch.stack(found) if found else torch.zeros(0, CONFIG.width)
        codes = torch.zeros((blocks - state.blocks) * ENCODER_BLOCK_FRAMES, 5, dtype=torch.long)
        heard = HeardBlock(embeddings, 0.5, 1.0, blocks * ENCODER_BLOCK_FRAMES, codes, Reading.joined([]))
        return heard, EarState(pcm, blocks, state.words + len(found))

    def flush(self, state: EarState) -> tuple[HeardBlock, EarState]:
        block, state = self.step(state, torch.zeros(-len(state.pcm) % ENCODER_BLOCK_LENGTH))
        if state.words:
            traits = torch.full((len(TRAITS), CONFIG.width), 0.1)
            block = replace(block, embeddings=torch.cat([block.embeddings, traits]))
        return block, state


@dataclass(frozen=True)
class Piece:
    pcm: Tensor
    mel: Tensor
    text_end: int


class Beeps:
    """Says each character as one codec frame, one push late."""

    layer = 1

    def initial_state(self, style: str, rate: float, pitch: float, volume: float) -> tuple[int, int]:
        return (0, 0)

    def token_state(self, embedding: Tensor, hidden: Tensor) -> Tensor:
        return torch.cat([embedding, hidden])

    def push(self, state: tuple[int, int], text: str, hidden: Tensor) -> tuple[list[Piece], tuple[int, int]]:
        said, waiting = state
        pieces = [self._piece(said + waiting, waiting)] if waiting else []
        return pieces, (said + waiting, len(text))

    def finish(self, state: tuple[int, int]) -> list[Piece]:
        said, waiting = state
        return [self._piece(said + waiting, waiting)] if waiting else []

    def _piece(self, end: int, characters: int) -> Piece:
        return Piece(
            torch.full((characters * CODEC_HOP_LENGTH,), 0.5), torch.zeros(8 * characters, N_MELS), end
        )


def answer(name: str = "a1", **changes: Any) -> Answer:
    return replace(Answer(session="s", answer=1, item=name, max_tokens=12), **changes)


def run(omni: Omni, conversation: Conversation, options: Answer) -> list[Step]:
    """Answer to the end."""
    omni.begin_answer(conversation, options)
    steps = []
    while not steps or steps[-1].done is None:
        steps += omni.step([conversation])
        assert len(steps) < 100
    return steps


def text(steps: list[Step]) -> str:
    return "".join(step.text for step in steps)


def next_logits(omni: Omni, conversation: Conversation) -> Tensor:
    """What the cache predicts after one more fixed token; the conversation is left unchanged."""
    cache = conversation.cache.fork()
    return omni.parts.decoder.prefill(cache, torch.tensor([65])).logits
