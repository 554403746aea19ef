"""The vocoder as a stream: cuts, look-ahead, sessions, pitch, and what it is made of."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS, SAMPLE_RATE
from audiocodec.sharpen import sharpened
from audiocodec.source import initial_pulse_state, noise, pulses
from audiocodec.vocoder import (
    PULSE_SHARPER,
    REST_SHARPER,
    VOCODER_DELAY,
    SourceFilterVocoder,
    VocoderConfig,
    enliven,
    vocode,
)

TINY = VocoderConfig(layers=2, channels=16, hidden=16, kernel=5, pitch_layers=1, pitch_channels=8)
FRAMES = 30


@pytest.fixture(scope="module")
def vocoder() -> SourceFilterVocoder:
    torch.manual_seed(0)
    return SourceFilterVocoder(TINY).eval()


def frames(seed: int = 0, batch: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mel = torch.randn(batch, FRAMES, N_MELS, generator=generator) - 5
    f0 = 150 + 50 * torch.rand(batch, FRAMES, generator=generator)
    f0[:, 10:14] = 0
    return mel, f0


@torch.inference_mode()
@pytest.mark.parametrize("known_pitch", [True, False])
@pytest.mark.parametrize("cuts", [(1,) * FRAMES, (7, 1, 12, 10), (29, 1)])
def test_streaming_is_whole(vocoder: SourceFilterVocoder, cuts: tuple[int, ...], known_pitch: bool) -> None:
    mel, f0 = frames(batch=2)
    pitch = f0 if known_pitch else None
    whole, _ = vocoder.synthesize(mel, vocoder.initial_state(2, seed=3), pitch)
    state, parts, at = vocoder.initial_state(2, seed=3), [], 0
    for count in cuts:
        part, state = vocoder.synthesize(
            mel[:, at : at + count], state, None if pitch is None else pitch[:, at : at + count]
        )
        parts.append(part)
        at += count
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_looks_ahead_three_frames_and_no_more(vocoder: SourceFilterVocoder) -> None:
    mel, f0 = frames()
    before = vocode(vocoder, mel, f0)
    changed = mel.clone()
    changed[:, 20:] += 1
    after = vocode(vocoder, changed, f0)
    same = (20 - VOCODER_DELAY) * MEL_HOP_LENGTH
    torch.testing.assert_close(after[:, :same], before[:, :same])
    assert not torch.allclose(after[:, same : same + MEL_HOP_LENGTH], before[:, same : same + MEL_HOP_LENGTH])
    assert before.shape == (1, FRAMES * MEL_HOP_LENGTH)


@torch.inference_mode()
def test_sessions_do_not_mix(vocoder: SourceFilterVocoder) -> None:
    inputs = [frames(1), frames(2)]
    alone = [vocoder.synthesize(mel, vocoder.initial_state(1), f0)[0] for mel, f0 in inputs]
    states = [vocoder.initial_state(1), vocoder.initial_state(1)]
    outputs: list[list[Tensor]] = [[], []]
    for step, stream in itertools.product(range(0, FRAMES, 10), (0, 1)):
        mel, f0 = (whole[:, step : step + 10] for whole in inputs[stream])
        pcm, states[stream] = vocoder.synthesize(mel, states[stream], f0)
        outputs[stream].append(pcm)
    for got, want in zip(outputs, alone, strict=True):
        torch.testing.assert_close(torch.cat(got, dim=1), want, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_pulses_and_noise_alone_stream_as_well() -> None:
    torch.manual_seed(1)
    vocoder = SourceFilterVocoder(replace(TINY, rest_layers=0)).eval()
    enliven(vocoder)
    assert not any(name.startswith("rest.") for name in vocoder.state_dict())
    mel, f0 = frames(batch=2)
    whole, _ = vocoder.synthesize(mel, vocoder.initial_state(2), f0)
    first, state = vocoder.synthesize(mel[:, :11], vocoder.initial_state(2), f0[:, :11])
    second, _ = vocoder.synthesize(mel[:, 11:], state, f0[:, 11:])
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-5, rtol=1e-4)
    assert whole[:, VOCODER_DELAY * MEL_HOP_LENGTH :].abs().max() > 0


@torch.inference_mode()
def test_an_enlivened_vocoder_is_sharper_and_its_noise_and_phases_stay(vocoder: SourceFilterVocoder) -> None:
    mel, f0 = frames()
    sharp = copy.deepcopy(vocoder)
    enliven(sharp)
    plain, made = vocoder(mel, vocoder.initial_state(1), f0), sharp(mel, vocoder.initial_state(1), f0)
    for now, was, sharper in (
        (made.filters, plain.filters, PULSE_SHARPER),
        (made.rest, plain.rest, REST_SHARPER),
    ):
        (gain, other), (gain_was, other_was) = now.chunk(2, dim=-1), was.chunk(2, dim=-1)
        torch.testing.assert_close(gain, sharpened(gain_was, *sharper), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(other, other_was)


def test_wrong_shape_is_refused(vocoder: SourceFilterVocoder) -> None:
    with pytest.raises(ValueError, match="must|needed"):
        vocoder.synthesize(torch.zeros(1, 5, 80), vocoder.initial_state(1))


@pytest.mark.parametrize("pitch_hz", [90.0, 220.0, 480.0])
def test_pulses_have_the_pitch(pitch_hz: float) -> None:
    train, _ = pulses(torch.full((1, 100), pitch_hz), initial_pulse_state(1, torch.device("cpu")))
    spectrum = torch.fft.rfft(train[0, : SAMPLE_RATE // 2] * torch.hann_window(SAMPLE_RATE // 2)).abs()
    below = spectrum[: int(1.5 * pitch_hz / 2)]
    assert abs(int(below.argmax()) * 2 - pitch_hz) <= 2  # bins are 2 Hz wide


def test_no_pulses_without_pitch() -> None:
    train, state = pulses(torch.zeros(2, 8), initial_pulse_state(2, torch.device("cpu")))
    assert not train.any()
    assert state.f0_hz.tolist() == [0, 0]


def test_noise_depends_on_seed_and_position_only() -> None:
    seeds = torch.tensor([5, 6])
    whole = noise(seeds, 0, 40)
    late = noise(seeds, 30, 10)
    torch.testing.assert_close(late, whole[:, 30 * MEL_HOP_LENGTH :])
    assert abs(float(whole.std()) - 1) < 0.02
    assert abs(float(whole.mean())) < 0.03
    assert abs(float((whole[0] * whole[1]).mean())) < 0.03
    neighbours = float((whole[:, 1:] * whole[:, :-1]).mean())
    assert abs(neighbours) < 0.03
