"""The real model: logits equal transformers' on the same file, and the C decoder says the same."""

from pathlib import Path

import pytest
import torch

from assistant.bench.exactness import dialogue_turns, measure_exactness
from assistant.model.checkpoint import load_tokenizer
from assistant.model.loading import load_backbone
from assistant.paths import ROOT
from assistant.weights import manifest
from assistant.weights.store import State, Store

pytestmark = [pytest.mark.weights, pytest.mark.slow]
LARGEST_DIFFERENCE = 1e-3
TEXTS = (
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "In 1969, two people walked on the",
    "Bonjour, comment allez-vous ?",
    "1 + 1 = 2, 2 + 2 =",
    "<|im_start|>user\nHi<|im_end|>\n",
    "Dear Sir or Madam,\n\nI am writing to",
    "   leading spaces",
    "\U0001f600 caf\u00e9 na\u00efve \u65e5\u672c\u8a9e",
    "A",
    "The quick brown fox jumps over the lazy dog. " * 8,
    "{\"name\": \"Viva\", \"age\":",
    "Q: Why is the sky blue?\nA:",
    "It was the best of times, it was the",
    "Ingredients:\n- 2 eggs\n- 100 g of flour\n-",
    "E = mc",
    "SELECT name FROM users WHERE",
    "Once upon a time there was a lighthouse keeper who",
    "!!!???...",
    "To be, or not to be, that is the question:",
)  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> Path:
    model, store = manifest.load("smollm2-135m-instruct"), Store()
    file = model.file("model.gguf")
    if store.state(model, file) is State.MISSING:
        pytest.skip("the weights are not here: vivavoce models pull smollm2-135m-instruct")
    return store.where(model, file)


@pytest.mark.filterwarnings("ignore")
def test_logits_equal_transformers(weights: Path) -> None:
    from transformers import AutoModelForCausalLM

    ours, tokenizer = load_backbone(weights), load_tokenizer(weights)
    theirs = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32)
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.inference_mode():
            difference = (ours.logits(ours(ours.embed(ids)).last) - theirs(ids).logits).abs().max()
        assert difference < LARGEST_DIFFERENCE, text


def test_int8_says_the_same(weights: Path) -> None:
    report = measure_exactness(weights, dialogue_turns(ROOT / "data" / "dialogues"))
    assert report.identical >= 0.9
    assert abs(report.perplexity_change) <= 0.01
