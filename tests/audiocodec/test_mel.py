"""Streaming log-mel: torchaudio's filters, causal framing, any cut gives the same."""

import pytest
import torch

from audiocodec.mel import SILENCE, LogMel, mel_filters
from audiocodec.numbers import MEL_HOP_LENGTH, N_FFT, N_MELS, SAMPLE_RATE


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel()


def test_filters_are_torchaudios() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    want = functional.melscale_fbanks(N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, N_MELS, SAMPLE_RATE)
    torch.testing.assert_close(mel_filters(N_FFT // 2 + 1, N_MELS, SAMPLE_RATE), want, atol=2e-5, rtol=0)


@pytest.mark.parametrize("cuts", [(40,), (1,) * 40, (7, 1, 0, 12, 20), (39, 1)])
def test_streaming_is_whole(log_mel: LogMel, cuts: tuple[int, ...]) -> None:
    pcm = torch.randn(2, 40 * MEL_HOP_LENGTH, generator=torch.Generator().manual_seed(1)) * 0.1
    whole, _ = log_mel(pcm, log_mel.initial_state(2))
    state, parts, at = log_mel.initial_state(2), [], 0
    for hops in cuts:
        part, state = log_mel(pcm[:, at : at + hops * MEL_HOP_LENGTH], state)
        parts.append(part)
        at += hops * MEL_HOP_LENGTH
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_frame_needs_nothing_after_its_hop(log_mel: LogMel) -> None:
    pcm = torch.randn(1, 20 * MEL_HOP_LENGTH) * 0.1
    before, _ = log_mel(pcm, log_mel.initial_state(1))
    pcm[:, 11 * MEL_HOP_LENGTH :] = 0
    after, _ = log_mel(pcm, log_mel.initial_state(1))
    torch.testing.assert_close(after[:, :11], before[:, :11])
    assert not torch.allclose(after[:, 11], before[:, 11])


def test_silence_is_the_floor(log_mel: LogMel) -> None:
    mel, _ = log_mel(torch.zeros(1, 5 * MEL_HOP_LENGTH), log_mel.initial_state(1))
    assert mel.shape == (1, 5, N_MELS)
    torch.testing.assert_close(mel, torch.full_like(mel, SILENCE))


def test_part_of_a_hop_is_refused(log_mel: LogMel) -> None:
    with pytest.raises(ValueError, match="241 samples"):
        log_mel(torch.zeros(1, 241), log_mel.initial_state(1))
