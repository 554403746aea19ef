"""The search for likely sentences against the sum over all ways to say them."""

import itertools
import math
from collections import defaultdict

import pytest
import torch

from assistant.model.likely_sentences import UNNAMED, how_likely, likely_sentences, logadd
from audiocodec.reader import Reading


def make_reading(frames: int, seed: int) -> Reading:
    generator = torch.Generator().manual_seed(seed)
    blank = torch.rand(frames, generator=generator).clamp(0.02, 0.98)
    rows = torch.stack([torch.randperm(3, generator=generator)[:2] for _ in range(frames)])
    lead = 0.5 + torch.rand(frames, generator=generator) * 0.49
    return Reading(blank, rows, torch.stack([lead, 1 - lead], dim=-1))


def all_sentences(reading: Reading) -> dict[tuple[int, ...], float]:
    """Probability of every sentence, one way to say it after the other."""
    choices = [
        [(-1, blank), *((row, (1 - blank) * share) for row, share in zip(rows, shares, strict=True))]
        for blank, rows, shares in zip(
            reading.blank.tolist(), reading.rows.tolist(), reading.shares.tolist(), strict=True
        )
    ]
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for way in itertools.product(*choices):
        merged = [row for row, _ in itertools.groupby(row for row, _ in way) if row >= 0]
        found[tuple(merged)] += math.prod(share for _, share in way)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_with_room_for_all_it_is_exact(seed: int) -> None:
    reading = make_reading(6, seed)
    truth = all_sentences(reading)
    found = likely_sentences(reading, 8, beam=10_000)
    best = sorted(truth, key=lambda rows: -truth[rows])[:8]
    assert [one.score for one in found] == pytest.approx([math.log(truth[rows]) for rows in best], rel=1e-6)
    assert {one.rows for one in found} == set(best)


@pytest.mark.parametrize("seed", range(4))
def test_how_likely_is_the_sum_over_all_ways(seed: int) -> None:
    reading = make_reading(6, seed)
    truth = all_sentences(reading)
    rows = sorted(truth, key=lambda rows: -truth[rows])[:20]
    found = how_likely(reading, rows)
    assert found == pytest.approx([math.log(truth[one]) for one in rows], abs=0.1)


def test_what_no_frame_names_is_unlikely_but_not_ruled_out() -> None:
    reading = Reading(torch.tensor([0.01]), torch.tensor([[5, 6]]), torch.tensor([[0.9, 0.1]]))
    assert how_likely(reading, [(7,)]) == pytest.approx([math.log(0.99 * UNNAMED)])
    assert how_likely(reading, [()]) == pytest.approx([math.log(0.01)])


def test_a_narrow_search_finds_the_best() -> None:
    reading = make_reading(40, 9)
    wide, narrow = likely_sentences(reading, 1, beam=300), likely_sentences(reading, 1, beam=24)
    assert narrow[0].rows == wide[0].rows
    assert narrow[0].score == pytest.approx(wide[0].score, abs=0.5)


def test_sure_blanks_say_nothing_and_part_repeats() -> None:
    blank, rows = torch.tensor([0.01, 0.9999, 0.01]), torch.tensor([[5, 6]] * 3)
    reading = Reading(blank, rows, torch.tensor([[0.99, 0.01]] * 3))
    assert likely_sentences(reading, 1)[0].rows == (5, 5)
    silence = Reading(torch.ones(4), torch.zeros(4, 2, dtype=torch.long), torch.full((4, 2), 0.5))
    assert [one.rows for one in likely_sentences(silence, 5)] == [()]


def test_logadd() -> None:
    assert logadd(-math.inf, -math.inf) == -math.inf
    assert logadd(math.log(0.25), math.log(0.5)) == pytest.approx(math.log(0.75))
