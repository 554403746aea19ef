"""Do two answers mean the same: MiniLM sentence vectors (Reimers and Gurevych 2019, arXiv:1908.10084)."""

from typing import Any

import torch
from torch import Tensor


class MiniLM:
    """all-MiniLM-L6-v2 from the weights that a manifest names."""

    def __init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        from assistant.weights import store

        folder = str(store.path("minilm-l6"))
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    @torch.inference_mode()
    def vectors(self, texts: list[str]) -> Tensor:
        """Unit vectors (n, 384) of texts."""
        found = []
        for start in range(0, len(texts), 64):
            batch = self.tokenizer(
                texts[start : start + 64], padding=True, truncation=True, return_tensors="pt"
            )
            hidden = self.model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(hidden.dtype)
            found.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(found)
