"""How tokens sound, as vectors: which phone stands where.

Tokens that sound alike lie close together, so that a frame which tells the phones of what was said also finds
tokens that were seldom or never heard in training.
Source: Settle et al. 2019, arXiv:1903.12306 (acoustically grounded word embeddings).
"""

import torch
from torch import Tensor, nn

PHONES = "əɐᵊɪᵻiɛæaɑɒɔʌʊuɜAIOQWYpbtTdkɡfvθðszʃʒʧʤhmnŋlɹwj"
START = len(PHONES) + 1  # stands before the phones of a token that begins a word
PLACES = 5  # from a token's first phone to its last
SIDES, LONGEST = 2, 16  # pronunciations of a token; phones of one
SOUND_FEATURES = (START + 1) * PLACES


def numbers(phones: str, starts_word: bool) -> list[int]:
    """Give the numbers, from 1, of as many phones as are kept; others than PHONES are left out."""
    found = [PHONES.index(phone) + 1 for phone in phones if phone in PHONES]
    return ([START] * starts_word + found)[:LONGEST]


def sound_features(phones: Tensor) -> Tensor:
    """Give features (V, SOUND_FEATURES), of length 1, of pronunciations (V, SIDES, LONGEST): numbers, then
    zeros.

    A phone counts at the two nearest of the places, by its distance. Nothing known gives zeros.
    """
    tokens, length = phones.shape[0], phones.shape[2]
    count = (phones > 0).sum(dim=-1, keepdim=True)
    position = torch.arange(length).expand_as(phones) * (PLACES - 1) / (count - 1).clamp(min=1)
    low = position.floor().clamp(max=PLACES - 2)
    features = torch.zeros(tokens, (START + 1) * PLACES)
    for place, share in ((low, 1 - position + low), (low + 1, position - low)):
        index = phones.long() * PLACES + place.long().clamp(max=PLACES - 1)
        features.scatter_add_(1, index.flatten(1), (share * (phones > 0)).float().flatten(1))
    return nn.functional.normalize(features, dim=-1)
