"""The finish of the voice: the teacher's filters mean what the vocoder means by them, and both nets learn."""

import numpy as np
import pytest
import torch

from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.head import MelHead
from assistant.training.teacher import TEACHER_HOP, Performance, filters_at
from assistant.training.train_finish import (
    BETWEEN,
    FinishPlan,
    FinishRecipe,
    Frames,
    apart,
    filter_loss,
    on_harmonics,
)
from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS
from audiocodec.source import initial_pulse_state, pulses
from audiocodec.vocoder import BINS, SourceFilterVocoder, VocoderConfig

HOPS = 400


def performance() -> Performance:
    """Two envelopes that rise with frequency, and with time."""
    ramp = np.linspace(0, 6, 601, dtype=np.float32)[:, None] + np.arange(8, dtype=np.float32)
    return Performance(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(8, np.float32), ramp, -ramp)


def test_filters_are_read_between_frames_and_bins() -> None:
    found = filters_at(performance(), np.array([0, TEACHER_HOP // 2, 3 * TEACHER_HOP, 10**6]), BINS)
    assert found.shape == (4, 2 * BINS)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found[:, 0], [0, 0.5, 3, 7], atol=1e-5)
    np.testing.assert_allclose(found[0, :BINS], np.linspace(0, 6, BINS), atol=1e-4)
    np.testing.assert_allclose(found[:, BINS:], -found[:, :BINS])


def test_a_flat_gain_scales_the_pulses() -> None:
    """What ``filters`` call an amplitude is one: a gain of log(1/5) gives a fifth of the pulse train."""
    train, _ = pulses(torch.full((1, 20), 150.0), initial_pulse_state(1, torch.device("cpu")))
    source = torch.stack([train, torch.zeros_like(train)], dim=1)
    source = torch.nn.functional.pad(source, (MEL_HOP_LENGTH, 0))
    shapes = torch.cat([torch.full((1, 20, BINS), float(np.log(0.2))), torch.zeros(1, 20, 2 * BINS)], dim=-1)
    made, _ = SourceFilterVocoder(VocoderConfig()).render(shapes, source, torch.zeros(1, MEL_HOP_LENGTH))
    inside = slice(2 * MEL_HOP_LENGTH, 18 * MEL_HOP_LENGTH)
    late = train[:, : made.shape[1] - MEL_HOP_LENGTH]
    torch.testing.assert_close(
        made[:, MEL_HOP_LENGTH:][:, inside], 0.2 * late[:, inside], atol=1e-3, rtol=1e-3
    )


def test_what_is_too_quiet_is_not_told_apart() -> None:
    made, true = torch.tensor([-12.0, -12.0, -3.0]), torch.tensor([-20.0, -5.0, -20.0])
    assert apart(made, true).tolist() == pytest.approx([0.0, 7.0, 6.0])
    shapes, filters = torch.zeros(1, 4, 3 * BINS), torch.zeros(1, 4, 2 * BINS)
    assert filter_loss(shapes, filters, torch.zeros(1, 4)) == 0


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
    return Frames(rows, f0, torch.full((HOPS,), -4.0), style, mel, filters, sound)


def recipe() -> FinishRecipe:
    torch.manual_seed(0)
    head = MelHead(MelHeadConfig(model_width=8, width=16, hidden=16, pitch_width=8, decoder_hidden=16))
    vocoder = SourceFilterVocoder(VocoderConfig(layers=1, channels=16, hidden=16, pitch_layers=1))
    plan = FinishPlan(steps=30, batch=2, hops=24, rate=1e-2, critics_from=20)
    return FinishRecipe(head, vocoder, corpus(), plan)


def test_both_nets_learn_and_critics_join() -> None:
    made = recipe()
    painters = (made.frames.stack, made.frames.leave, made.vocoder.stack, made.vocoder.leave)
    learned = [p for net in painters for p in net.parameters()]
    before = [p.clone() for p in learned]
    shown = [made.step(number) for number in range(22)]
    assert shown[19]["filters"] < 0.8 * shown[0]["filters"]
    assert "critic" not in shown[19]
    assert {"critic", "fooling"} <= shown[20].keys()
    assert not any(torch.equal(old, new) for old, new in zip(before, learned, strict=True))


def test_a_step_depends_on_its_number_alone() -> None:
    first, again = recipe(), recipe()
    assert [first.step(n) for n in range(2)] == [again.step(n) for n in range(2)]
