"""Training computes in what the processor has."""

import torch

from assistant.training.precision import mixed, working_dtype


def test_products_are_in_the_format_that_is_told() -> None:
    with mixed("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == working_dtype("cpu")
    assert working_dtype("cuda") == torch.bfloat16
