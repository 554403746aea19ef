"""EnCodec and Mimi behind the codec interface: small random nets streamed equal the packages' own whole."""

import warnings

import pytest
import torch
from torch import Tensor

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the packages' own deprecations
    from encodec import EncodecModel
    from encodec.modules import SEANetDecoder, SEANetEncoder
    from encodec.quantization import ResidualVectorQuantizer
    from transformers import MimiConfig, MimiModel

    from audiocodec.encodec_adapter import EncodecCodec
    from audiocodec.mimi_adapter import MimiCodec

from audiocodec.interface import Codec, whole_blocks


def small_encodec() -> EncodecModel:
    torch.manual_seed(0)
    shape = {"dimension": 16, "n_filters": 4, "causal": True, "norm": "none"}
    quantizer = ResidualVectorQuantizer(dimension=16, n_q=4, bins=32)
    for layer in quantizer.vq.layers:
        layer._codebook.embed.normal_()
        layer._codebook.inited.fill_(1)
    model = EncodecModel(
        SEANetEncoder(**shape),
        SEANetDecoder(**shape),
        quantizer,
        [1.5],
        24_000,
        1,
        normalize=False,
        segment=None,
    )
    return model.eval()


def small_mimi() -> MimiModel:
    torch.manual_seed(0)
    config = MimiConfig(
        hidden_size=16,
        num_filters=2,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=32,
        codebook_size=32,
        codebook_dim=8,
        vector_quantization_hidden_dimension=8,
        num_quantizers=8,
        upsample_groups=16,
        sliding_window=20,
    )
    model = MimiModel(config).eval()
    for name, value in model.named_buffers():
        if name.endswith("embed_sum"):
            value.normal_()
        elif name.endswith("cluster_usage"):
            value.fill_(1)
    return model


def sound(codec: Codec, blocks: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(1, blocks * codec.spec.block_length, generator=generator) * 0.1


def encode(codec: Codec, pcm: Tensor, blocks: list[int]) -> Tensor:
    state, start, codes = codec.initial_encoding(1), 0, []
    for count in blocks:
        length = count * codec.spec.block_length
        part, state = codec.encode(pcm[:, start : start + length], state)
        codes.append(part)
        start += length
    return torch.cat(codes, dim=-1)


def decode(codec: Codec, codes: Tensor, blocks: list[int]) -> Tensor:
    state, start, pcm = codec.initial_decoding(1), 0, []
    for count in blocks:
        length = count * codec.spec.block_frames
        part, state = codec.decode(codes[..., start : start + length], state)
        pcm.append(part)
        start += length
    return torch.cat(pcm, dim=-1)


def test_encodec_streams_what_the_package_gives_whole() -> None:
    model = small_encodec()
    codec = EncodecCodec(model)
    pcm = sound(codec, 5)
    with torch.inference_mode():
        frames = model.encoder(pcm[:, None])
        want = model.quantizer.vq.encode(frames, n_q=2).transpose(0, 1)
        back = model.decoder(model.quantizer.decode(want.transpose(0, 1)))[:, 0]
    codes = encode(codec, pcm, [1, 2, 1, 1])
    assert float((codes == want).float().mean()) > 0.98  # ties may fall either way
    torch.testing.assert_close(decode(codec, want, [2, 1, 2]), back, atol=1e-4, rtol=1e-3)


def test_mimi_streams_what_the_package_gives_whole() -> None:
    model = small_mimi()
    codec = MimiCodec(model)
    pcm = sound(codec, 6)
    with torch.inference_mode():
        want = model.encode(pcm[:, None], num_quantizers=8).audio_codes
        back = model.decode(want).audio_values[:, 0]
    codes = encode(codec, pcm, [1, 2, 1, 2])
    assert codes.shape == want.shape == (1, 8, 12)
    assert float((codes == want).float().mean()) > 0.98
    torch.testing.assert_close(decode(codec, want, [2, 1, 3]), back, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("make", [lambda: EncodecCodec(small_encodec()), lambda: MimiCodec(small_mimi())])
def test_states_are_values_and_numbers_fit(make: object) -> None:
    assert callable(make)
    codec = make()
    pcm = sound(codec, 3)
    _, state = codec.encode(pcm[:, : codec.spec.block_length], codec.initial_encoding(1))
    rest = pcm[:, codec.spec.block_length :]
    torch.testing.assert_close(codec.encode(rest, state)[0], codec.encode(rest, state)[0])
    assert codec.spec.block_length == 3_840
    assert whole_blocks(pcm[:, :-5], codec.spec).shape == pcm.shape
    with pytest.raises(ValueError, match="need a multiple"):
        codec.encode(pcm[:, :-1], codec.initial_encoding(1))


def test_bitrates() -> None:
    assert EncodecCodec(small_encodec()).spec.bitrate == 2 * 5 * 75
    assert MimiCodec(small_mimi()).spec.bitrate == pytest.approx(8 * 5 * 12.5)
