"""The small net in place of Kokoro's generator: shapes, what it is taught on, and that it learns."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from assistant.training.renderer import FRAME_LENGTH, FRAME_WIDTH, TIMBRE_WIDTH, Renderer
from assistant.training.train_renderer import Kept, RendererPlan, RendererRecipe, style_of
from assistant.training.voices import STYLE_ROWS, STYLE_WIDTH, nodes_behind
from audiocodec.vocoder import SourceFilterVocoder, VocoderConfig

TINY = VocoderConfig(2, 16, 24, 3, 1, 1, 8)


def test_only_the_nodes_that_a_tensor_needs_are_kept() -> None:
    nodes = [
        SimpleNamespace(name="embed", input=["tokens"], output=["x"]),
        SimpleNamespace(name="side", input=["x"], output=["unused"]),
        SimpleNamespace(name="frames", input=["x", "style"], output=["frames"]),
        SimpleNamespace(name="sound", input=["frames"], output=["audio"]),
    ]
    assert [node.name for node in nodes_behind(nodes, ["frames"])] == ["embed", "frames"]
    assert [node.name for node in nodes_behind(nodes, ["audio"])] == ["embed", "frames", "sound"]


def test_a_voice_is_mixed_again_as_its_name_says() -> None:
    shape = (STYLE_ROWS, STYLE_WIDTH)
    styles = {"af_one": np.full(shape, 1.0, np.float32), "bm_two": np.full(shape, 3.0, np.float32)}
    mixed, beyond = style_of("af_one*0.25+bm_two", styles), style_of("af_one*1.30+bm_two", styles)
    assert mixed is not None
    assert float(mixed[0, 0]) == pytest.approx(2.5)
    assert beyond is not None
    assert float(beyond[0, 0]) == pytest.approx(0.4)
    assert style_of("af_one", styles) is styles["af_one"]
    assert style_of("af_one*0.50+am_aside", styles) is None
    assert style_of("am_aside", styles) is None


def test_sound_is_as_long_as_its_frames_and_the_same_again() -> None:
    torch.manual_seed(0)
    renderer = Renderer(TINY)
    frames, timbre = torch.randn(2, 40, FRAME_WIDTH), torch.randn(2, TIMBRE_WIDTH)
    f0_hz = torch.full((2, 40), 120.0)
    pcm = renderer(frames, timbre, f0_hz)
    assert pcm.shape == (2, 40 * FRAME_LENGTH)
    assert torch.equal(pcm, renderer(frames, timbre, f0_hz))
    assert not torch.allclose(pcm, renderer(frames, timbre, 0 * f0_hz))


def test_it_learns_and_a_step_depends_on_its_number_alone() -> None:
    torch.manual_seed(1)
    count = 200
    sound = 3_000 * torch.sin(2 * torch.pi * 150 / 24_000 * torch.arange(count * FRAME_LENGTH))
    kept = Kept(
        torch.randn(count, FRAME_WIDTH).half(),
        torch.full((count,), 150.0),
        sound.short(),
        torch.randn(2, TIMBRE_WIDTH),
        torch.tensor([120, 80]),
    )

    def losses(steps: int) -> list[float]:
        torch.manual_seed(2)
        recipe = RendererRecipe(SourceFilterVocoder(TINY), RendererPlan(steps=400, batch=2, rate=5e-3), kept)
        return [recipe.step(number)["spectra"] for number in range(steps)]

    learned = losses(30)
    assert np.mean(learned[-5:]) < 0.9 * np.mean(learned[:5])
    assert losses(2) == learned[:2]
