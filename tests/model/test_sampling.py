"""Choosing tokens: bounds of sampling and the guard against loops."""

import pytest
import torch

from assistant.model.sampling import LOOP_WINDOW, Sampling, looping, sample, without_loops


def test_temperature_zero_takes_the_best() -> None:
    assert sample(torch.tensor([[0.1, 3.0, -1.0], [2.0, 1.0, 0.0]]), Sampling()).tolist() == [1, 0]


def test_top_p_leaves_out_the_tail() -> None:
    logits = torch.tensor([[5.0, 4.0, -9.0, -9.0]]).expand(200, -1)
    drawn = sample(logits, Sampling(temperature=1.0, top_p=0.9), torch.Generator().manual_seed(1))
    assert set(drawn.tolist()) == {0, 1}


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Sampling(**wrong)  # type: ignore[arg-type]


def test_a_third_round_of_a_phrase_is_barred() -> None:
    assert looping([7, 8, 9, 7, 8, 9, 7, 8]) == [9]
    assert looping([5, 5, 5, 5]) == [5]


def test_what_is_said_once_or_twice_may_be_said_again() -> None:
    assert looping([]) == []
    assert looping([7, 8]) == []
    assert looping([7, 8, 9, 7, 8]) == []
    assert looping([7, 8, 1, 7, 8, 2, 7, 8]) == []


def test_only_a_loop_that_is_near_is_barred() -> None:
    logits = torch.zeros(1, 10)
    phrase = [7, 8, 9, 7, 8, 9]
    assert without_loops(logits, [*phrase, 7, 8])[0].isinf().nonzero().flatten().tolist() == [9]
    far = [*phrase, *[token % 5 for token in range(LOOP_WINDOW)], 7, 8]
    assert without_loops(logits, far) is logits
