"""The encoding half of the codec: streaming equals whole, nothing looks ahead, nothing grows."""

import pytest
import torch

from audiocodec.encoder import EncoderConfig, EncoderState
from audiocodec.front_end import DYNAMIC_RANGE, REFERENCE_FLOOR, FrontEnd, normalise
from audiocodec.listener import Listener
from audiocodec.numbers import ENCODER_BLOCK_LENGTH
from audiocodec.reader import TokenReader
from audiocodec.resample import DOWN, Downsampler, gain_at
from audiocodec.token_sounds import LONGEST, SIDES

CONFIG = EncoderConfig(
    width=24,
    heads=2,
    layers=2,
    feed_forward=32,
    projector_width=16,
    projector_heads=2,
    projector_layers=2,
    projector_feed_forward=32,
    model_width=12,
    sound_width=4,
    window_blocks=4,
    ahead_blocks=1,
    past_blocks=3,
)


@pytest.fixture
def listener() -> Listener:
    torch.manual_seed(0)
    phones = torch.randint(1, 40, (25, SIDES, LONGEST))
    reader = TokenReader(torch.randn(25, CONFIG.model_width), torch.arange(25), phones, CONFIG.sound_width)
    listener = Listener(CONFIG, reader).eval()
    for layer in listener.encoder.projector.layers:
        torch.nn.init.normal_(layer.attention.distance_bias)  # a bias that tells distances apart
    torch.nn.init.normal_(listener.encoder.positions)
    return listener


def noise(blocks: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(1, blocks * ENCODER_BLOCK_LENGTH, generator=torch.Generator().manual_seed(seed)) * 0.1


@torch.inference_mode()
def test_blocks_equal_whole(listener: Listener) -> None:
    pcm = noise(9)
    whole, _ = listener.hear(pcm, listener.initial_state(1))
    state, parts = listener.initial_state(1), []
    for blocks in (1, 2, 1, 4, 1):
        start = sum(part.semantic.shape[1] for part in parts) // 2 * ENCODER_BLOCK_LENGTH
        part, state = listener.hear(pcm[:, start : start + blocks * ENCODER_BLOCK_LENGTH], state)
        parts.append(part)
    assert whole.acoustic.shape == (1, 18, CONFIG.width)
    for name in ("semantic", "prosody", "acoustic"):
        joined = torch.cat([getattr(part, name) for part in parts], dim=1)
        torch.testing.assert_close(joined, getattr(whole, name), atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_frame_hears_one_block_more_than_its_own(listener: Listener) -> None:
    pcm, other = noise(6), noise(6, seed=2)
    other[:, : 4 * ENCODER_BLOCK_LENGTH] = pcm[:, : 4 * ENCODER_BLOCK_LENGTH]
    first, second = listener.hear_all(pcm), listener.hear_all(other)
    torch.testing.assert_close(first.semantic[:, :6], second.semantic[:, :6], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(first.prosody[:, :8], second.prosody[:, :8], atol=2e-5, rtol=1e-4)
    assert not torch.allclose(first.semantic[:, 6:8], second.semantic[:, 6:8])


@torch.inference_mode()
def test_the_delay_is_silence_first_and_can_be_taken_out(listener: Listener) -> None:
    pcm = noise(5)
    raw, state = listener.hear(pcm, listener.initial_state(1))
    rest, _ = listener.hear(torch.zeros(1, ENCODER_BLOCK_LENGTH), state)
    late = torch.cat([raw.semantic, rest.semantic], dim=1)
    torch.testing.assert_close(listener.hear_all(pcm).semantic, late[:, 2:], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(
        listener.hear_all(pcm).acoustic[:, :8], raw.acoustic[:, 2:], atol=2e-5, rtol=1e-4
    )
    silence, _ = listener.hear(torch.zeros(1, ENCODER_BLOCK_LENGTH), listener.initial_state(1))
    torch.testing.assert_close(silence.prosody, raw.prosody[:, :2])


@torch.inference_mode()
def test_a_window_that_is_moved_further_gives_as_many_frames(listener: Listener) -> None:
    """Of each move the last block sees what it sees live, the earlier ones see more ahead."""
    pcm = noise(8)
    live, moved = (listener.encoder(*heard(listener, pcm), stride)[0] for stride in (1, 2))
    assert moved.shape == live.shape
    pairs = [one.unflatten(1, (4, 2, 8)) for one in (live, moved)]
    torch.testing.assert_close(pairs[0][:, :, 1], pairs[1][:, :, 1], atol=2e-5, rtol=1e-4)
    assert not torch.allclose(pairs[0][:, :, 0], pairs[1][:, :, 0])


def heard(listener: Listener, pcm: torch.Tensor) -> tuple[torch.Tensor, EncoderState]:
    """What the encoder is given of some sound."""
    mel, _, _, _ = listener.front_end(pcm, listener.front_end.initial_state(1))
    return mel, listener.encoder.initial_state(1)


@torch.inference_mode()
def test_the_past_is_bounded(listener: Listener) -> None:
    """The state stays as large as it is, and sound older than the past reaches does not matter."""
    state = listener.initial_state(1)
    for index in range(20):
        _, state = listener.hear(noise(1, seed=index), state)
        if index == 10:
            sizes = [part.numel() for part in (state.encoder.window, *state.encoder.projector)]
    assert [part.numel() for part in (state.encoder.window, *state.encoder.projector)] == sizes


@torch.inference_mode()
def test_streams_do_not_mix(listener: Listener) -> None:
    sounds = [noise(3, seed=5), noise(3, seed=6)]
    alone = [listener.hear(sound, listener.initial_state(1))[0].semantic for sound in sounds]
    states, found = [listener.initial_state(1), listener.initial_state(1)], [[], []]
    for block in range(3):
        for stream, sound in enumerate(sounds):
            part = sound[:, block * ENCODER_BLOCK_LENGTH : (block + 1) * ENCODER_BLOCK_LENGTH]
            raw, states[stream] = listener.hear(part, states[stream])
            found[stream].append(raw.semantic)
    for got, want in zip(found, alone, strict=True):
        torch.testing.assert_close(torch.cat(got, dim=1), want, atol=2e-5, rtol=1e-4)


def test_part_of_a_block_is_refused(listener: Listener) -> None:
    with pytest.raises(ValueError, match="need a multiple of 3840"):
        listener.hear(torch.zeros(1, 100), listener.initial_state(1))


def test_resampler_passes_speech_and_stops_what_would_fold() -> None:
    assert gain_at(1_000) == pytest.approx(1, abs=0.01)
    assert gain_at(6_000) == pytest.approx(1, abs=0.02)
    assert gain_at(9_500) < 0.003


def test_resampler_keeps_a_tone() -> None:
    time = torch.arange(24_000) / 24_000
    resampler = Downsampler()
    out, _ = resampler(torch.sin(2 * torch.pi * 440 * time)[None], resampler.initial_state(1))
    want = torch.sin(2 * torch.pi * 440 * (torch.arange(16_000) / 16_000 - 24 / 24_000))
    assert out.shape == (1, 16_000)
    torch.testing.assert_close(out[0, 100:], want[100:], atol=2e-3, rtol=0)


def test_resampler_refuses_odd_lengths() -> None:
    resampler = Downsampler()
    with pytest.raises(ValueError, match=f"multiple of {DOWN}"):
        resampler(torch.zeros(1, 4), resampler.initial_state(1))


def test_reference_rises_at_once_and_forgets_slowly() -> None:
    power = torch.full((1, 80, 400), -4.0)
    power[:, :, 100] = 1.0
    _, reference = normalise(power, torch.tensor([REFERENCE_FLOOR]))
    assert REFERENCE_FLOOR < float(reference) < 1.0
    assert float(reference) == pytest.approx(1.0 - 299 * 0.0005, abs=1e-4)


def test_loudness_does_not_change_the_mel() -> None:
    """Once loud speech has been heard, the same sound 20 dB down gives the same normalised mel."""
    front_end = FrontEnd()
    pcm = noise(4) * 8
    loud = front_end(pcm, front_end.initial_state(1))[0]
    soft = front_end(pcm / 10, front_end.initial_state(1))[0]
    assert loud.max() < 2
    assert loud.min() >= (1.3 - DYNAMIC_RANGE + 4) / 4 - 1e-4
    torch.testing.assert_close(loud[:, :, 3:], soft[:, :, 3:], atol=0.02, rtol=0)
