"""What is remembered of a voice: exact as a stream, slow to change, nothing before it is taught."""

import pytest
import torch

from audiocodec.voice_memory import KEPT, PART, PRIOR, VoiceMemory, running


@pytest.fixture
def memory() -> VoiceMemory:
    torch.manual_seed(3)
    made = VoiceMemory(6, 4).eval()
    torch.nn.init.normal_(made.recall.weight)
    return made


def test_it_adds_nothing_before_it_has_learned() -> None:
    x = torch.randn(2, 7, 6)
    memory = VoiceMemory(6, 4)
    found, _ = memory(x, memory.initial_state(2))
    assert torch.equal(found, x)


def test_any_parts_are_as_the_whole(memory: VoiceMemory) -> None:
    x = torch.randn(2, PART + 70, 6, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole, after = memory(x, memory.initial_state(2))
        state, parts = memory.initial_state(2), []
        for part in torch.split(x, [1, 5, 100, PART - 36], dim=1):
            found, state = memory(part, state)
            parts.append(found)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state.total, after.total, atol=1e-5, rtol=1e-5)


def test_sums_fade_and_begin_with_what_was_before() -> None:
    values, before = torch.ones(1, 3, 1), torch.full((1, 1), 2.0)
    expected = [2 * KEPT + 1, 2 * KEPT**2 + KEPT + 1, 2 * KEPT**3 + KEPT**2 + KEPT + 1]
    torch.testing.assert_close(running(values, before)[0, :, 0], torch.tensor(expected))


def test_a_voice_that_stays_is_known_ever_better_and_an_old_one_is_forgotten(memory: VoiceMemory) -> None:
    one, other = torch.randn(2, 1, 1, 6, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        value, _ = memory.note(one).chunk(2, dim=-1)
        known, state = memory(one.expand(1, 200, 6), memory.initial_state(1))
        far = [float((known[0, at] - one - memory.recall(value.tanh())[0]).norm()) for at in (0, 20, 199)]
        after, _ = memory(other.expand(1, 600, 6), state)
        anew, _ = memory(other.expand(1, 600, 6), memory.initial_state(1))
    assert far[0] > 2 * far[1] > 4 * far[2]
    assert PRIOR > 0
    torch.testing.assert_close(after[:, -1], anew[:, -1], atol=1e-3, rtol=1e-3)
