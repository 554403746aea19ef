"""The walk over what was heard keeps a transcript to it."""

import pytest
import torch
from torch import Tensor

from assistant.model.backbone import Backbone
from assistant.model.decoder import TorchDecoder
from assistant.model.generate import Limits, generate
from assistant.model.heard_words import HeardWords
from assistant.model.kv_cache import CacheShape

MARK, END = 38, 39
SHORT = CacheShape(window=64, rewind=16)
HEARD = [5, 9, 9, 20]


@pytest.fixture
def rows() -> Tensor:
    rows = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(rows, dim=-1)


def written(walk: HeardWords, likes: Tensor, limit: int = 12) -> list[int]:
    """What comes of a transformer that always likes the same tokens."""
    state, tokens = walk.begin(), []
    while len(tokens) < limit:
        token = int(walk.weigh(likes, state).argmax())
        if token == END:
            break
        tokens.append(token)
        state = walk.after(state, token)
        torch.testing.assert_close(state.logsumexp(dim=0), torch.tensor(0.0), atol=1e-5, rtol=0)
    return tokens


@pytest.mark.parametrize(("token", "liked"), [(END, 2.5), (7, 6.0), (9, 2.5), (MARK, 3.0)])
def test_what_was_heard_is_written_whatever_is_liked(rows: Tensor, token: int, liked: float) -> None:
    """Not cut short, nothing put in, nothing said again, no marks strewn."""
    walk = HeardWords(rows, 3 * rows[HEARD], [MARK], END)  # a run's length does not matter
    likes = torch.zeros(40)
    likes[token] = liked
    assert written(walk, likes) == HEARD


def test_the_transformer_decides_between_what_sounds_alike(rows: Tensor) -> None:
    walk = HeardWords(rows, torch.stack([rows[5], rows[11] + rows[12]]), [MARK], END)
    for wanted in (11, 12):
        likes = torch.zeros(40)
        likes[wanted] = 2.0
        assert written(walk, likes) == [5, wanted]


def test_a_run_that_makes_no_sense_can_be_left_out_and_a_mark_put_in(rows: Tensor) -> None:
    walk = HeardWords(rows, rows[[5, 20, 9]], [MARK], END)
    likes = torch.zeros(40)
    likes[20] = -12.0
    assert written(walk, likes) == [5, 9]
    likes = torch.zeros(40)
    likes[MARK] = 9.0
    assert written(walk, likes, limit=2) == [MARK, MARK]


def test_nothing_heard_is_nothing_written(rows: Tensor) -> None:
    assert written(HeardWords(rows, rows[:0], [MARK], END), torch.zeros(40)) == []


def test_generation_asks_its_guide(tiny: Backbone) -> None:
    decoder, rows = TorchDecoder(tiny), tiny.embedding.weight.detach()
    guided, alone = (
        list(generate(decoder, decoder.new_cache(SHORT), torch.tensor([1, 2]), Limits(2, guide=guide)))
        for guide in (HeardWords(rows, rows[[30, 40, 50]], [3], 11), None)
    )
    assert guided == [30, 40] != alone
