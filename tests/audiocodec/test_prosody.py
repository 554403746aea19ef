"""Pitch, voicing and loudness of synthetic voices."""

import pytest
import torch

from audiocodec.prosody import HISTORY, PROSODY_WIDTH, Prosody, pitch_steps


def voice(pitch_hz: float, samples: int = 8_000) -> torch.Tensor:
    """A buzz with falling harmonics."""
    time = torch.arange(samples + HISTORY) / 16_000
    parts = [
        torch.cos(2 * torch.pi * pitch_hz * order * time) / order for order in range(1, int(4_000 / pitch_hz))
    ]
    return 0.1 * torch.stack(parts).sum(dim=0)[None]


@pytest.mark.parametrize("pitch_hz", [70.0, 110.0, 163.0, 220.0, 340.0, 450.0])
def test_pitch_of_a_buzz(pitch_hz: float) -> None:
    pitch, voicing, _ = pitch_steps(voice(pitch_hz, 6_400))
    assert float(voicing.min()) > 0.95
    torch.testing.assert_close(pitch, torch.full_like(pitch, pitch_hz), rtol=0.01, atol=0)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = torch.randn(1, HISTORY + 6_400, generator=torch.Generator().manual_seed(0)) * 0.1
    pitch, voicing, _ = pitch_steps(noise)
    assert float((pitch > 0).float().mean()) < 0.1
    assert float(voicing.mean()) < 0.5
    silent, _, loudness = pitch_steps(torch.zeros(1, HISTORY + 640))
    assert not silent.any()
    assert float(loudness.max()) <= -5


def test_loudness_follows_the_level() -> None:
    _, _, loud = pitch_steps(voice(150, 3_200))
    _, _, soft = pitch_steps(voice(150, 3_200) / 10)
    torch.testing.assert_close(loud - soft, torch.ones_like(loud), atol=0.01, rtol=0)


def test_pieces_equal_whole() -> None:
    prosody, sound = Prosody(), voice(130, 12_800)[:, :12_800]
    whole, _ = prosody(sound, prosody.initial_state(1))
    state, parts = prosody.initial_state(1), []
    for start in range(0, 12_800, 2_560):
        part, state = prosody(sound[:, start : start + 2_560], state)
        parts.append(part)
    assert whole.shape == (1, 10, PROSODY_WIDTH)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
