"""The codec both ways with small random nets and a vocoder that only counts."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from audiocodec.encoder import EncoderConfig
from audiocodec.listener import SPEC, Listener
from audiocodec.numbers import MEL_HOP_LENGTH, N_MELS
from audiocodec.prosody import PROSODY_WIDTH
from audiocodec.reader import TokenReader
from audiocodec.token_sounds import LONGEST, SIDES
from audiocodec.viva import DecoderConfig, MelDecoder, VivaCodec, pitch_per_mel_frame

CONFIG = EncoderConfig(
    width=24,
    heads=2,
    layers=1,
    feed_forward=32,
    projector_width=16,
    projector_heads=2,
    projector_layers=1,
    projector_feed_forward=32,
    model_width=12,
    sound_width=4,
    window_blocks=3,
    past_blocks=3,
)


@dataclass(frozen=True)
class Count:
    frames: int


class MeanVocoder:
    """Each mel frame becomes a hop of its mean: enough to see order and length."""

    delay_frames = 0

    def initial_state(self, batch: int, seed: int = 0) -> Count:
        return Count(0)

    def synthesize(self, mel: Tensor, state: Count, f0_hz: Tensor | None = None) -> tuple[Tensor, Count]:
        assert mel.shape[2] == N_MELS
        assert f0_hz is not None
        assert f0_hz.shape == mel.shape[:2]
        return mel.mean(dim=2).repeat_interleave(MEL_HOP_LENGTH, dim=1), Count(state.frames + mel.shape[1])


@pytest.fixture
def codec() -> VivaCodec[Count]:
    torch.manual_seed(0)
    phones = torch.randint(1, 40, (25, SIDES, LONGEST))
    reader = TokenReader(torch.randn(25, CONFIG.model_width), torch.arange(25), phones, CONFIG.sound_width)
    listener = Listener(CONFIG, reader).eval()
    for name, value in listener.codebooks.named_buffers():
        value.copy_(torch.ones_like(value) if name.endswith("scale") else torch.randn_like(value) * 0.5)
    decoder = MelDecoder(DecoderConfig(12, 16, 8, 2, 2, 3)).eval()
    return VivaCodec(listener, decoder, MeanVocoder())


def test_both_ways_in_any_blocks(codec: VivaCodec[Count]) -> None:
    pcm = torch.randn(1, 6 * SPEC.block_length, generator=torch.Generator().manual_seed(1)) * 0.1
    codes, _ = codec.encode(pcm, codec.initial_encoding(1))
    assert codes.shape == (1, SPEC.codebooks, 12)
    assert int(codes.max()) < SPEC.codebook_size
    whole, _ = codec.decode(codes, codec.initial_decoding(1))
    assert whole.shape == pcm.shape
    state, parts = codec.initial_decoding(1), []
    for start, stop in ((0, 2), (2, 8), (8, 12)):
        part, state = codec.decode(codes[..., start:stop], state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)
    assert state.vocoder == Count(96)


def test_wrong_number_of_codebooks_is_refused(codec: VivaCodec[Count]) -> None:
    with pytest.raises(ValueError, match="need 8"):
        codec.decode(torch.zeros(1, 3, 2, dtype=torch.long), codec.initial_decoding(1))


def test_pitch_of_each_mel_frame() -> None:
    prosody = torch.zeros(1, 2, PROSODY_WIDTH)
    prosody[0, 1, :4] = 1.0  # an octave up
    prosody[0, :, 4:8] = 0.9
    pitch = pitch_per_mel_frame(prosody)
    assert pitch.shape == (1, 16)
    assert not pitch[0, :8].any()
    torch.testing.assert_close(pitch[0, 8:], torch.full((8,), 320.0))
