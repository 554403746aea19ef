"""Hidden states of the transformer at the words of a text, as the mel head sees them live."""

import random
from pathlib import Path

import torch
from torch import Tensor

from assistant.model.backbone import Backbone
from assistant.model.loading import load_backbone
from assistant.model.speaking.normalize import Word
from assistant.model.tokenizer import Tokenizer, tokenizer_from_gguf
from assistant.training.precision import working_dtype
from assistant.weights.gguf import GGUFFile

SYSTEMS = (
    "",
    "You are Viva, a friendly voice assistant. Answer briefly.",
    "You are a helpful assistant.",
    "You are Viva. You speak with people and see what their camera sees. Keep answers short and kind.",
)


class HiddenStates:
    """Runs the lower part of the transformer over ChatML text."""

    def __init__(self, path: Path, layer: int) -> None:
        self.tokenizer: Tokenizer = tokenizer_from_gguf(GGUFFile(path).metadata)
        self.model: Backbone = load_backbone(path, working_dtype("cpu"))
        del self.model.blocks[layer:]
        self.layer = layer

    def prompt(self, ask: str, system: str) -> list[int]:
        """Write what stands before an answer."""
        start, end = self.tokenizer.marker("<|im_start|>"), self.tokenizer.marker("<|im_end|>")
        ids: list[int] = []
        for role, text in (("system", system), ("user", ask)):
            if text:
                ids += [start, *self.tokenizer.encode(f"{role}\n{text}"), end, *self.tokenizer.encode("\n")]
        return [*ids, start, *self.tokenizer.encode("assistant\n")]

    @torch.inference_mode()
    def at_words(self, text: str, words: list[Word], ask: str, rng: random.Random) -> Tensor:
        """Give embedding and hidden state of each word's last token, (words, 2 * D) float16."""
        before = self.prompt(ask, rng.choice(SYSTEMS))
        ids = self.tokenizer.encode(text)
        embeddings = self.model.embed(torch.tensor([before + ids]))
        hidden = self.model(embeddings, layer=self.layer).layer
        assert hidden is not None
        both = torch.cat([embeddings, hidden], dim=-1)[0, len(before) :]
        ends = [len(self.tokenizer.decode(ids[: index + 1])) for index in range(len(ids))]
        rows = [next((i for i, end in enumerate(ends) if end >= word.end), len(ids) - 1) for word in words]
        return both[rows].half()
