"""Whether rounded weights say the same: greedy text and perplexity of int8 against float32."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from assistant.errors import UsageError
from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat, Message
from assistant.model.checkpoint import load_checkpoint
from assistant.model.decoder import Decoder, TorchDecoder
from assistant.model.loading import load_backbone
from assistant.model.native.decoder import NativeDecoder
from assistant.model.quantized import dequantize
from assistant.model.tokenizer import Tokenizer

PROMPTS = 50
TOKENS = 32
TEXT_TOKENS = 2_048  # for perplexity
SYSTEM = "You are a helpful assistant."


@dataclass(frozen=True, slots=True)
class ExactnessReport:
    """How far int8 is from float32."""

    prompts: int
    tokens: int
    identical: float  # share of greedy tokens that are the same, position by position
    same_answers: int  # prompts whose tokens are all the same
    float_perplexity: float
    int8_perplexity: float

    @property
    def perplexity_change(self) -> float:
        """Relative change; 0.01 is one per cent."""
        return self.int8_perplexity / self.float_perplexity - 1


def dialogue_turns(folder: Path) -> list[str]:
    """Read the project's own dialogues: question and answer of every turn, in order, in their first wording.

    Raises:
        UsageError: there are none.
    """
    turns: list[str] = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            for turn in json.loads(line).get("turns", []):
                turns += [*turn.get("ask", [])[:1], *turn.get("answer", [])[:1]]
    if not turns:
        raise UsageError(f"no dialogues in {folder}")
    return turns


def measure_exactness(path: Path, turns: Sequence[str]) -> ExactnessReport:
    """Answer evenly spread questions with both, and score one long text with both."""
    checkpoint = load_checkpoint(path)
    reference = TorchDecoder(load_backbone(path))
    prompts = chat_prompts(checkpoint.tokenizer, turns)
    wanted, got = greedy(reference, prompts), greedy(checkpoint.decoder, prompts)
    same = wanted == got
    ids = torch.tensor(checkpoint.tokenizer.encode("\n".join(turns[:400]))[:TEXT_TOKENS])
    return ExactnessReport(
        len(prompts),
        TOKENS,
        same.float().mean().item(),
        int(same.all(dim=1).sum()),
        perplexity(reference, ids),
        perplexity(checkpoint.decoder, ids),
    )


def chat_prompts(tokenizer: Tokenizer, turns: Sequence[str]) -> list[Tensor]:
    """Make PROMPTS chat prompts of questions spread over the turns."""
    layout = ChatFormat(tokenizer)
    questions = [turn for turn in turns if turn.endswith("?")]
    chosen = questions[:: max(1, len(questions) // PROMPTS)][:PROMPTS]
    system = Message("system", SYSTEM)
    return [torch.tensor(layout.prompt([system, Message("user", text)])) for text in chosen]


@torch.inference_mode()
def greedy(decoder: Decoder, prompts: Sequence[Tensor]) -> Tensor:
    """Give the likeliest TOKENS tokens after each prompt, (prompts, TOKENS), all as one batch."""
    caches = [decoder.new_cache() for _ in prompts]
    firsts = [decoder.prefill(cache, prompt).logits for cache, prompt in zip(caches, prompts, strict=True)]
    chosen = [torch.cat(firsts).argmax(-1)]
    while len(chosen) < TOKENS:
        chosen.append(decoder.decode_step(caches, chosen[-1]).logits.argmax(-1))
    return torch.stack(chosen, dim=1)


@torch.inference_mode()
def perplexity(decoder: Decoder, ids: Tensor) -> float:
    """Perplexity of ids[1:] given what stands before each, through the streaming path."""
    layers = decoder.config.layers
    hidden = decoder.prefill(decoder.new_cache(), ids, layer=layers).hidden
    assert hidden is not None
    scorer = scoring_model(decoder)
    losses = []
    for start in range(0, len(ids) - 1, 256):
        stop = min(start + 256, len(ids) - 1)
        logits = scorer.logits(scorer.norm(hidden[start:stop]))
        losses.append(functional.cross_entropy(logits, ids[start + 1 : stop + 1], reduction="sum"))
    return float(torch.exp(torch.stack(losses).sum() / (len(ids) - 1)))


def scoring_model(decoder: Decoder) -> Backbone:
    """Give a Backbone whose norm and output matrix are the decoder's own."""
    if isinstance(decoder, NativeDecoder):
        return dequantize(decoder.model)
    assert isinstance(decoder, TorchDecoder)
    return decoder.model
