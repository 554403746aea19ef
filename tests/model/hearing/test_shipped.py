"""The shipped weights of hearing: they load, stream, and keep silent about silence."""

import pytest
import torch

from assistant.model.hearing import Hearing
from assistant.model.listening import hearing_folder, load_tuned

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def hearing() -> Hearing:
    return load_tuned(hearing_folder(), torch.bfloat16)[1]


def heard(hearing: Hearing, pcm: torch.Tensor, size: int) -> torch.Tensor:
    state, found = hearing.initial_state(), []
    for start in range(0, len(pcm), size):
        block, state = hearing.step(state, pcm[start : start + size])
        found.append(block.embeddings)
    block, _ = hearing.flush(state)
    return torch.cat([*found, block.embeddings])


def test_silence_has_no_words(hearing: Hearing) -> None:
    assert len(heard(hearing, torch.zeros(72_000), 3_840)) == 0


def test_pieces_do_not_matter(hearing: Hearing) -> None:
    time = torch.arange(48_000) / 24_000
    buzz = 0.1 * torch.stack([torch.cos(2 * torch.pi * 130 * n * time) for n in range(1, 20)]).sum(dim=0)
    sound = buzz * (0.5 + 0.5 * torch.sin(2 * torch.pi * 4 * time))
    torch.testing.assert_close(heard(hearing, sound, 1_111), heard(hearing, sound, 48_000), rtol=0, atol=0)


def test_the_state_stays_small(hearing: Hearing) -> None:
    """After the past is full, a stream's state has the same size for ever."""
    state, sizes = hearing.initial_state(), []
    for index in range(70):
        _, state = hearing.step(state, torch.zeros(3_840))
        if index in (55, 69):
            sizes.append(
                [part.shape for part in (state.listener.encoder.window, *state.listener.encoder.projector)]
            )
    assert sizes[0] == sizes[1]
