"""A voice between the shipped one and the runs'."""

import torch
from torch import nn

from assistant.training.voice_recipes import blend_in


def test_a_blend_lies_its_part_of_the_way_from_where_it_began() -> None:
    before, after = nn.Linear(3, 2), nn.Linear(3, 2)
    ends = [
        (old.detach().clone(), new.detach().clone())
        for old, new in zip(before.parameters(), after.parameters(), strict=True)
    ]
    blend_in(after, before, 0.25)
    for own, (old, new) in zip(after.parameters(), ends, strict=True):
        torch.testing.assert_close(own.detach(), 0.75 * old + 0.25 * new)
    for own, (old, _) in zip(before.parameters(), ends, strict=True):
        assert torch.equal(own, old)
