"""The plainest loop over the verbs: one session, tokens as they come."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from assistant.model.decoder import Decoder
from assistant.model.kv_cache import KVCache
from assistant.model.sampling import Sampling, sample, without_loops


@dataclass(frozen=True, slots=True)
class Limits:
    """When an answer ends and how its tokens are chosen."""

    max_tokens: int = 512
    stop: frozenset[int] = field(default_factory=frozenset)
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    loops: bool = True  # False: no phrase is said a third time


def generate(decoder: Decoder, cache: KVCache, prompt: Tensor, limits: Limits) -> Iterator[int]:
    """Prefill ``prompt`` (ids or embeddings), then yield tokens until a stop token or the limit.

    The last token that was yielded is not yet in the cache; the stop token is not yielded. Leaving the
    iterator early is safe: the cache then ends right before the last token yielded.
    """
    generator = torch.Generator().manual_seed(limits.seed)
    logits = decoder.prefill(cache, prompt).logits
    said: list[int] = []
    for count in range(limits.max_tokens):
        token = sample(logits if limits.loops else without_loops(logits, said), limits.sampling, generator)
        if int(token) in limits.stop:
            return
        said.append(int(token))
        yield said[-1]
        if count + 1 < limits.max_tokens:
            logits = decoder.decode_step([cache], token).logits
