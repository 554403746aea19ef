"""How it was said, in words that the transformer knows."""

import torch

from assistant.model.manner import TRAITS
from assistant.model.trait_words import KINDS, WORDS, TraitWords, joined


def test_a_sure_trait_is_its_word_and_a_doubted_one_lies_between() -> None:
    words, embedding = TraitWords(8), torch.randn(50, 8)
    kinds = [kind for of in TRAITS.values() for kind in of]
    words.name(lambda word: [7 + list(WORDS.values()).index(word)])
    shares = {name: torch.eye(len(of))[0] for name, of in TRAITS.items()}
    shares["rate"] = torch.tensor([0.5, 0.0, 0.5])
    told = words(embedding, joined(shares))
    assert told.shape == (len(TRAITS), 8)
    slow, _, fast, quiet = words.tokens[:4]
    torch.testing.assert_close(told[0], (embedding[slow] + embedding[fast]) / 2)
    torch.testing.assert_close(told[1], embedding[quiet])
    assert len(kinds) == KINDS == len(words.tokens)


def test_traits_differ_by_what_is_learned_for_each() -> None:
    words = TraitWords(8)
    torch.nn.init.normal_(words.offsets)
    told = words(torch.zeros(3, 8), torch.rand(KINDS))
    torch.testing.assert_close(told, words.offsets.detach(), check_device=False)
