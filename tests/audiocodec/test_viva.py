"""The codec both ways with small random nets and a vocoder that only counts."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from audiocodec.colour import Colour
from audiocodec.encoder import EncoderConfig
from audiocodec.listener import Listener
from audiocodec.mel_decoder import DecoderConfig, MelDecoder
from audiocodec.named import DIGITS, free
from audiocodec.numbers import MAX_BITRATE, MEL_HOP_LENGTH, N_MELS
from audiocodec.prosody import PROSODY_WIDTH, pitch_per_mel_frame
from audiocodec.reader import TokenReader
from audiocodec.sound_codes import ALL, SOUND_WIDTH, SoundCoder, SoundCoderConfig, sound_of, spelled
from audiocodec.token_sounds import LONGEST, SIDES
from audiocodec.viva import SPEC, VivaCodec

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


CODER = SoundCoderConfig(coarse=16, fine=8, coarse_blocks=2, fine_blocks=1, kernel=3, ahead=4)
DECODER = DecoderConfig(16, 12, 8, 2, 1, 1, 3)


def make_listener() -> Listener:
    torch.manual_seed(0)
    phones = torch.randint(1, 40, (25, SIDES, LONGEST))
    reader = TokenReader(torch.randn(25, CONFIG.model_width), torch.arange(25), phones, CONFIG.sound_width)
    listener = Listener(CONFIG, reader).eval()
    for name, value in listener.codebooks.named_buffers():
        value.copy_(torch.ones_like(value) if name.endswith("scale") else torch.randn_like(value) * 0.5)
    return listener


@pytest.fixture
def codec() -> VivaCodec[Count]:
    colour = Colour()
    colour.fit(torch.randn(40, N_MELS, generator=torch.Generator().manual_seed(7)))
    return VivaCodec(make_listener(), SoundCoder(CODER), colour, MelDecoder(DECODER), MeanVocoder()).eval()


def test_bitrate_keeps_to_its_limit() -> None:
    assert SPEC.bitrate == 1_100
    assert SPEC.bitrate <= MAX_BITRATE
    assert SPEC.codebook_size <= 2**11


def test_both_ways_in_any_blocks(codec: VivaCodec[Count]) -> None:
    torch.nn.init.constant_(codec.listener.reader.blank_bias, 8.65)  # room in some frames only
    pcm = torch.randn(1, 6 * SPEC.block_length, generator=torch.Generator().manual_seed(1)) * 0.1
    codes, _ = codec.encode(pcm, codec.initial_encoding(1))
    assert codes.shape == (1, SPEC.codebooks, 12)
    assert int(codes.max()) < SPEC.codebook_size
    state, parts = codec.initial_encoding(1), []
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        part, state = codec.encode(pcm[:, start * SPEC.block_length : stop * SPEC.block_length], state)
        parts.append(part)
    assert torch.equal(torch.cat(parts, dim=-1), codes)
    whole, _ = codec.decode(codes, codec.initial_decoding(1))
    assert whole.shape == pcm.shape
    decoding, sounds = codec.initial_decoding(1), []
    for start, stop in ((0, 2), (2, 8), (8, 12)):
        part, decoding = codec.decode(codes[..., start:stop], decoding)
        sounds.append(part)
    torch.testing.assert_close(torch.cat(sounds, dim=1), whole, atol=1e-4, rtol=1e-4)
    assert decoding.vocoder == Count(96)
    assert int(decoding.colour.own.turn) > 0


def test_what_the_ear_heard_is_in_the_codes(codec: VivaCodec[Count]) -> None:
    """Names give way only where nothing is said; how it was said never does."""
    torch.nn.init.constant_(codec.listener.reader.blank_bias, 8.65)  # sure of some frames only
    pcm = torch.randn(1, 30 * SPEC.block_length, generator=torch.Generator().manual_seed(1)) * 0.1
    codes, _ = codec.encode(pcm, codec.initial_encoding(1))
    with torch.inference_mode():
        heard, _ = codec.listener(pcm, codec.listener.initial_state(1))
    names, ear = codes[0, :DIGITS].T, heard.codes[0]
    silent = free(ear[:, :DIGITS], SPEC.codebook_size)
    assert 0 < int(silent.sum()) < len(silent)
    assert torch.equal(free(names, SPEC.codebook_size), silent)
    assert torch.equal(names[~silent], ear[~silent, :DIGITS])
    assert torch.equal(codes[0, DIGITS : DIGITS + 2].T, ear[:, DIGITS:])


def test_room_for_more_is_used_where_there_is_some() -> None:
    numbers = torch.randn(1, 6, len(ALL.levels), generator=torch.Generator().manual_seed(1))
    room = torch.tensor([[True, False] * 3])
    sound = sound_of(*spelled(numbers), room)
    torch.testing.assert_close(sound[0, ::2, :-1], ALL.values(numbers)[0, ::2])
    torch.testing.assert_close(sound[0, 1::2, :SOUND_WIDTH], ALL.values(numbers)[0, 1::2, :SOUND_WIDTH])
    assert not sound[0, 1::2, SOUND_WIDTH:].any()
    assert sound[0, :, -1].tolist() == [1, 0] * 3


def test_a_coder_for_another_ear_is_refused() -> None:
    coder = SoundCoder(SoundCoderConfig(16, 8, 1, 1, 3, ahead=2))
    with pytest.raises(ValueError, match="come 2 frames late and the ear's 4"):
        VivaCodec(make_listener(), coder, Colour(), MelDecoder(DECODER), MeanVocoder())


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
