"""The finish of the voice: the teacher's filters mean what the vocoder means by them, and both nets learn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.head import MelHead
from assistant.training.teacher import NOTHING, TEACHER_HOP, Performance, filters_at, rests_at
from assistant.training.train_finish import (
    BETWEEN,
    FinishPlan,
    FinishRecipe,
    Frames,
    apart,
    filter_loss,
    on_harmonics,
    rest_loss,
)
from assistant.training.train_vocoder import Clips
from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS
from audiocodec.rest import REST_BINS
from audiocodec.source import initial_pulse_state, pulses
from audiocodec.vocoder import BINS, SourceFilterVocoder, VocoderConfig, render, synthesis_window

HOPS = 400


def performance() -> Performance:
    """Envelopes that rise with frequency, and with time."""
    ramp = np.linspace(0, 6, 601, dtype=np.float32)[:, None] + np.arange(8, dtype=np.float32)
    silence = np.zeros(0, np.float32)
    return Performance(
        silence, np.zeros(0, np.int64), np.zeros(8, np.float32), ramp, -ramp, 2 * ramp, ramp / 9
    )


def test_filters_are_read_between_frames_and_bins() -> None:
    found = filters_at(performance(), np.array([0, TEACHER_HOP // 2, 3 * TEACHER_HOP, 10**6]), BINS)
    assert found.shape == (4, 2 * BINS)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found[:, 0], [0, 0.5, 3, 7], atol=1e-5)
    np.testing.assert_allclose(found[0, :BINS], np.linspace(0, 6, BINS), atol=1e-4)
    np.testing.assert_allclose(found[:, BINS:], -found[:, :BINS])


def test_the_rest_is_taken_frame_by_frame() -> None:
    found = rests_at(performance(), np.array([-TEACHER_HOP, 0, 3 * TEACHER_HOP, 8 * TEACHER_HOP]))
    assert found.shape == (4, 2 * REST_BINS)
    assert (found[[0, 3], :REST_BINS] == NOTHING).all()
    np.testing.assert_allclose(found[1:3, 0], [0, 6])
    np.testing.assert_allclose(found[1:3, REST_BINS:] * 18, found[1:3, :REST_BINS], atol=1e-5)


def test_the_rest_is_compared_where_it_is_heard() -> None:
    true = torch.tensor([-20.0, -4.0]).repeat_interleave(REST_BINS).view(1, 2, REST_BINS)
    true = torch.cat([true, torch.zeros_like(true)], dim=-1)
    made = true.clone()
    made[..., REST_BINS:] = torch.tensor([1.0, torch.pi])[None, :, None]
    gain, phase = rest_loss(made, true)
    assert gain == 0
    assert float(phase) == pytest.approx(2.0)


def test_a_flat_gain_scales_the_pulses() -> None:
    """What ``filters`` call an amplitude is one: a gain of log(1/5) gives a fifth of the pulse train."""
    train, _ = pulses(torch.full((1, 20), 150.0), initial_pulse_state(1, torch.device("cpu")))
    source = torch.stack([train, torch.zeros_like(train)], dim=1)
    source = torch.nn.functional.pad(source, (MEL_HOP_LENGTH, 0))
    shapes = torch.cat([torch.full((1, 20, BINS), float(np.log(0.2))), torch.zeros(1, 20, BINS)], dim=-1)
    made, _ = render(shapes, source, torch.zeros(1, MEL_HOP_LENGTH), synthesis_window())
    inside = slice(2 * MEL_HOP_LENGTH, 18 * MEL_HOP_LENGTH)
    late = train[:, : made.shape[1] - MEL_HOP_LENGTH]
    torch.testing.assert_close(
        made[:, MEL_HOP_LENGTH:][:, inside], 0.2 * late[:, inside], atol=1e-3, rtol=1e-3
    )


def test_what_is_too_quiet_is_not_told_apart() -> None:
    made, true = torch.tensor([-12.0, -12.0, -3.0]), torch.tensor([-20.0, -5.0, -20.0])
    assert apart(made, true, quiet=-9).tolist() == pytest.approx([0.0, 7.0, 6.0])
    assert filter_loss(torch.zeros(1, 4, 2 * BINS), torch.zeros(1, 4, 2 * BINS), torch.zeros(1, 4)) == 0


def test_between_harmonics_little_is_asked() -> None:
    weight = on_harmonics(torch.tensor([[200.0, 0.0]]))[0]
    assert weight[0, [4, 8, 40]].tolist() == [1, 1, 1]
    assert weight[0, [2, 6]].tolist() == pytest.approx([BETWEEN, BETWEEN])
    assert not weight[1].any()


def corpus() -> Frames:
    """Frames of one steady voiced sound; the filters are flat, the rest is chance."""
    generator = torch.Generator().manual_seed(1)
    config = MelHeadConfig(width=16, hidden=16, pitch_width=8, decoder_hidden=16)
    rows = torch.randn(HOPS, config.width + 4, generator=generator)
    f0 = torch.full((HOPS,), 200.0)
    train, _ = pulses(f0[None], initial_pulse_state(1, torch.device("cpu")))
    filters = torch.cat([torch.full((HOPS, BINS), -3.0), torch.full((HOPS, BINS), -8.0)], dim=-1)
    sound = (train[0] * np.exp(-3.0)).view(HOPS, MEL_HOP_LENGTH)
    style, mel = torch.zeros(HOPS, dtype=torch.long), torch.full((HOPS, N_MELS), -4.0)
    rest = torch.cat(
        [torch.full((HOPS * 4 // 5, REST_BINS), -6.0), torch.ones(HOPS * 4 // 5, REST_BINS)], dim=-1
    )
    return Frames(rows, f0, torch.full((HOPS,), -4.0), style, mel, filters, rest, sound)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Four seconds of another voice."""
    folder: Path = tmp_path_factory.mktemp("others")
    f0 = torch.full((1, HOPS), 120.0)
    train, _ = pulses(f0, initial_pulse_state(1, torch.device("cpu")))
    pcm = (train[0] * 600).clamp(-32_000, 32_000).to(torch.int16)
    save_file({"pcm": pcm, "f0": f0[0].half()}, folder / "0000.safetensors")
    return Clips.read(folder)


def recipe(others: Clips) -> FinishRecipe:
    torch.manual_seed(0)
    head = MelHead(MelHeadConfig(model_width=8, width=16, hidden=16, pitch_width=8, decoder_hidden=16))
    vocoder = SourceFilterVocoder(VocoderConfig(layers=1, channels=16, hidden=16, pitch_layers=1))
    plan = FinishPlan(steps=30, batch=2, hops=25, rate=1e-2, critics_from=26)
    return FinishRecipe(head, vocoder, corpus(), others, plan)


def test_both_nets_learn_and_critics_join(others: Clips) -> None:
    made = recipe(others)
    rest = made.vocoder.rest
    painters = (made.frames.stack, made.frames.leave, made.vocoder.stack, made.vocoder.leave, rest.leave)
    learned = [p for net in painters for p in net.parameters()]
    before = [p.clone() for p in learned]
    shown = [made.step(number) for number in range(28)]
    taught = [one for one in shown if "rest" in one]
    assert len(taught) < len(shown)
    for name in ("filters", "rest", "phase"):
        assert taught[-1][name] < 0.8 * taught[0][name]
    assert "critic" not in shown[25]
    assert {"critic", "fooling"} <= shown[26].keys()
    assert not any(torch.equal(old, new) for old, new in zip(before, learned, strict=True))


def test_a_step_depends_on_its_number_alone(others: Clips) -> None:
    first, again = recipe(others), recipe(others)
    assert [first.step(n) for n in range(2)] == [again.step(n) for n in range(2)]
