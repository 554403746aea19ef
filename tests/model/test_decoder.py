"""Streaming equals whole, sessions do not mix, a rewind leaves no trace, a wrapped ring is its mask."""

import itertools
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from assistant.model.backbone import Backbone
from assistant.model.cuda import CudaDecoder
from assistant.model.decoder import Decoder, TorchDecoder
from assistant.model.kv_cache import CacheShape
from assistant.model.native import build
from assistant.model.native.build import find_compiler
from assistant.model.native.decoder import NativeDecoder, native_decoder
from assistant.model.quantized import dequantize, quantize
from assistant.model.rotary import inverse_frequencies, rotate, rotation

SMALL = CacheShape(window=12, sinks=3, rewind=7)  # a ring of 19 rows, so that short sequences wrap it

Make = Callable[[Backbone], Decoder]
MAKERS: list[Make] = [TorchDecoder, native_decoder]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def decoder(request: pytest.FixtureRequest, tiny: Backbone) -> Decoder:
    if request.param is native_decoder and find_compiler() is None:
        pytest.skip("no C compiler here")
    made: Decoder = request.param(tiny)
    return made


@pytest.fixture
def plain(decoder: Decoder, tiny: Backbone) -> Backbone:
    """The float32 model that a decoder must agree with: its own rounded weights, if it has any."""
    return dequantize(decoder.model) if isinstance(decoder, NativeDecoder) else tiny


def tolerance(decoder: Decoder) -> dict[str, float]:
    """Logits go up to 6 here; the C decoder rounds activations to 16 bits."""
    coarse = isinstance(decoder, NativeDecoder)
    return {"atol": 1e-2, "rtol": 1e-3} if coarse else {"atol": 1e-4, "rtol": 1e-4}


def tokens(count: int, seed: int = 1) -> Tensor:
    return torch.randint(0, 96, (count,), generator=torch.Generator().manual_seed(seed))


def split(x: Tensor, heads: int) -> Tensor:
    return x.view(len(x), heads, -1).transpose(0, 1)


def masked_reference(model: Backbone, x: Tensor, shape: CacheShape) -> Tensor:
    """Logits (T, vocabulary) of the whole sequence with the ring's mask, without any cache."""
    positions = torch.arange(len(x))
    frequencies = inverse_frequencies(model.config.head_dim, model.config.rope_base)
    own = rotation(positions, frequencies)
    towards_sinks = rotation(positions.clamp(max=shape.seen - 1), frequencies)
    query, key = positions[:, None], positions[None, :]
    is_sink = key < shape.sinks
    seen = (key <= query) & (is_sink | (key > query - shape.window))
    for block in model.blocks:
        attention, y = block.attention, block.attention_norm(x)
        q = split(attention.q(y), model.config.heads)
        k = rotate(split(attention.k(y), model.config.kv_heads), *own).repeat_interleave(
            model.config.group, 0
        )
        v = split(attention.v(y), model.config.kv_heads).repeat_interleave(model.config.group, 0)
        near, far = rotate(q, *own) @ k.transpose(1, 2), rotate(q, *towards_sinks) @ k.transpose(1, 2)
        scores = torch.where(is_sink, far, near) / model.config.head_dim**0.5
        mixed = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v
        x = x + attention.o(mixed.transpose(0, 1).reshape(len(x), -1))
        x = x + block.ffn(block.ffn_norm(x))
    return model.logits(model.norm(x))


@torch.inference_mode()
def run_in_pieces(decoder: Decoder, ids: Tensor, sizes: list[int], shape: CacheShape) -> Tensor:
    """Logits after each piece."""
    cache = decoder.new_cache(shape)
    return torch.cat([decoder.prefill(cache, piece).logits for piece in ids.split(sizes)])


@torch.inference_mode()
def test_prefill_equals_the_plain_model(decoder: Decoder, plain: Backbone) -> None:
    ids = tokens(11)
    want = plain.logits(plain(plain.embed(ids[None])).last)[0, -1:]
    got = decoder.prefill(decoder.new_cache(SMALL), ids).logits
    torch.testing.assert_close(got, want, **tolerance(decoder))


@pytest.mark.parametrize("sizes", [[60], [1] * 60, [7, 1, 30, 2, 20], [20, 20, 20]])
@torch.inference_mode()
def test_a_ring_that_wrapped_equals_its_mask(decoder: Decoder, plain: Backbone, sizes: list[int]) -> None:
    """60 positions through 19 rows wrap three times; every cut gives the reference's logits."""
    ids = tokens(60)
    want = masked_reference(plain, plain.embed(ids), SMALL)
    ends = torch.tensor(list(itertools.accumulate(sizes))) - 1
    got = run_in_pieces(decoder, ids, sizes, SMALL)
    torch.testing.assert_close(got, want[ends], **tolerance(decoder))


@torch.inference_mode()
def test_interleaved_sessions_equal_each_alone(decoder: Decoder) -> None:
    streams = [tokens(40, seed) for seed in (2, 3)]
    alone = [run_in_pieces(decoder, ids, [1] * 40, SMALL) for ids in streams]
    caches = [decoder.new_cache(SMALL) for _ in streams]
    mixed: list[list[Tensor]] = [[], []]
    for step, stream in itertools.product(range(40), (0, 1)):
        mixed[stream].append(decoder.prefill(caches[stream], streams[stream][step : step + 1]).logits)
    for got, want in zip(mixed, alone, strict=True):
        torch.testing.assert_close(torch.cat(got), want)


@torch.inference_mode()
def test_a_batch_row_equals_the_session_alone(decoder: Decoder) -> None:
    """Sessions of lengths 1, 9 and 45 (before, within and after the wrap) step together."""
    caches, wants = [], []
    for length in (1, 9, 45):
        ids = tokens(length + 3, seed=length)
        cache, single = decoder.new_cache(SMALL), decoder.new_cache(SMALL)
        decoder.prefill(cache, ids[:length])
        decoder.prefill(single, ids[:length])
        wants.append(
            [decoder.decode_step([single], ids[length + i : length + i + 1]).logits for i in range(3)]
        )
        caches.append((cache, ids[length:]))
    for step in range(3):
        inputs = torch.stack([ids[step] for _, ids in caches])
        got = decoder.decode_step([cache for cache, _ in caches], inputs).logits
        torch.testing.assert_close(got, torch.cat([want[step] for want in wants]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("before", "lost"), [(5, 3), (14, 7), (40, 7), (40, 1)])
@torch.inference_mode()
def test_a_rewind_never_happened(decoder: Decoder, before: int, lost: int) -> None:
    ids, detour, after = tokens(before), tokens(lost, seed=9), tokens(10, seed=10)
    plain, rewound = decoder.new_cache(SMALL), decoder.new_cache(SMALL)
    for cache in (plain, rewound):
        decoder.prefill(cache, ids)
    decoder.prefill(rewound, detour)
    rewound.rewind(before)
    for token in after.split(1):
        got, want = decoder.prefill(rewound, token).logits, decoder.prefill(plain, token).logits
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_fork_goes_its_own_way(decoder: Decoder) -> None:
    cache = decoder.new_cache(SMALL)
    decoder.prefill(cache, tokens(25))
    fork = cache.fork()
    decoder.prefill(fork, tokens(9, seed=5))
    alone = run_in_pieces(decoder, torch.cat([tokens(25), tokens(2, seed=6)]), [25, 2], SMALL)
    torch.testing.assert_close(
        decoder.prefill(cache, tokens(2, seed=6)).logits, alone[1:], atol=1e-5, rtol=1e-4
    )
    cache.reset()
    fresh = run_in_pieces(decoder, tokens(5), [5], SMALL)
    torch.testing.assert_close(decoder.prefill(cache, tokens(5)).logits, fresh, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_embeddings_and_hidden_states(decoder: Decoder, plain: Backbone) -> None:
    """Ids and their embeddings are the same input; hidden states are those of the plain model."""
    ids = tokens(9)
    by_id = decoder.prefill(decoder.new_cache(SMALL), ids, layer=2)
    by_vector = decoder.prefill(decoder.new_cache(SMALL), decoder.embed(ids), layer=2)
    torch.testing.assert_close(by_id.logits, by_vector.logits)
    want = plain(plain.embed(ids[None]), layer=2).layer
    assert by_id.hidden is not None
    torch.testing.assert_close(by_id.hidden, want[0], **tolerance(decoder))
    step = decoder.decode_step([decoder.new_cache(SMALL)], ids[:1], layer=0)
    assert step.hidden is not None
    torch.testing.assert_close(step.hidden, decoder.embed(ids[:1]))


@torch.inference_mode()
def test_nothing_later_changes_what_came_earlier(decoder: Decoder) -> None:
    one, other = (
        decoder.prefill(decoder.new_cache(SMALL), torch.cat([tokens(20), end]), layer=3).hidden
        for end in (tokens(5, 7), tokens(5, 8))
    )
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one[:20], other[:20])


def test_memory_is_constant(decoder: Decoder) -> None:
    cache = decoder.new_cache(SMALL)
    addresses = cache.keys.data_ptr(), cache.values.data_ptr(), cache.nbytes
    for start in range(0, 1000, 100):
        decoder.prefill(cache, tokens(100, seed=start))
    assert (cache.keys.data_ptr(), cache.values.data_ptr(), cache.nbytes) == addresses
    assert cache.position == 1000


@pytest.mark.parametrize(
    "inputs",
    [torch.zeros(0, dtype=torch.int64), torch.zeros(2, 47), torch.tensor([96]), torch.zeros(1, 2, 48)],
)
def test_bad_inputs_are_refused(decoder: Decoder, inputs: Tensor) -> None:
    cache = decoder.new_cache(SMALL)
    with pytest.raises(ValueError, match="embeddings|token ids|no inputs"):
        decoder.prefill(cache, inputs)
    assert cache.position == 0


def test_one_cache_cannot_step_twice_at_once(decoder: Decoder) -> None:
    cache = decoder.new_cache(SMALL)
    with pytest.raises(ValueError, match="each needs its own"):
        decoder.decode_step([cache, cache], torch.tensor([1, 2]))


@torch.inference_mode()
@pytest.mark.parametrize("target", ["", "-march=x86-64-v3", "-march=x86-64"])
def test_the_c_decoder_is_exact_to_the_last_bit(
    tiny: Backbone, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However rows are cut into calls, whatever else is in the batch, and whatever the processor can do."""
    if find_compiler() is None:
        pytest.skip("no C compiler here")
    if target:
        if platform.machine() != "x86_64" or "ziglang" in (find_compiler() or ()):
            pytest.skip("another processor, or a compiler that names its targets otherwise")
        monkeypatch.setattr(build, "TARGETS", (target,))
        monkeypatch.setenv("VIVAVOCE_CACHE", str(tmp_path))
    decoder = NativeDecoder(quantize(tiny), threads=2)
    ids = tokens(60)
    whole = run_in_pieces(decoder, ids, [60], SMALL)
    assert torch.equal(run_in_pieces(decoder, ids, [1] * 60, SMALL)[-1:], whole)
    caches = [decoder.new_cache(SMALL) for _ in range(11)]
    for index, cache in enumerate(caches):
        decoder.prefill(cache, tokens(5 + 4 * index, seed=index) if index else ids[:-1])
    batch = decoder.decode_step(caches, ids[-1:].repeat(11)).logits
    assert torch.equal(batch[:1], whole)


def test_a_gpu_decoder_serves_caches_of_other_shapes(tiny: Backbone) -> None:
    fast = CudaDecoder(tiny, CacheShape(window=20, sinks=3, rewind=8), slots=1)
    plain, small = TorchDecoder(tiny), CacheShape(window=12, sinks=2, rewind=8)
    found = []
    for decoder in (fast, plain):
        cache = decoder.new_cache(small)
        decoder.prefill(cache, torch.tensor([1, 2, 3]))
        branches = [cache, cache.fork(), cache.fork()]  # more than there are slots
        found.append(decoder.decode_step(branches, torch.tensor([4, 5, 6])).logits)
    torch.testing.assert_close(*found)
