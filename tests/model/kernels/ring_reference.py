"""Run by itself with TRITON_INTERPRET=1: the kernel against plain arithmetic; exit code 1 if they differ."""

import sys

import torch

from assistant.model.backbone import Backbone
from assistant.model.config import ModelConfig
from assistant.model.cuda import CudaDecoder
from assistant.model.decoder import TorchDecoder
from assistant.model.kernels.ring_attention import RingBuffers, ring_attention
from assistant.model.kv_cache import CacheShape

SHAPE = CacheShape(window=150, sinks=4, rewind=60)
POSITIONS = (0, 3, 100, 153, 154, 213, 214, 700)  # before, at and after each border


def reference(q: torch.Tensor, q_sink: torch.Tensor, ring: RingBuffers) -> torch.Tensor:
    """Gather what each session sees by position and attend in float64."""
    shape, group = ring.shape, q.shape[1] // ring.keys.shape[1]
    out = []
    for i, position in enumerate(ring.positions.tolist()):
        low = max(shape.sinks, position - shape.window + 1)
        sinks = list(range(min(shape.sinks, position + 1)))
        rows = sinks + [shape.sinks + (p - shape.sinks) % shape.ring for p in range(low, position + 1)]
        keys = ring.keys[ring.slots[i], :, rows].double().repeat_interleave(group, 0)
        values = ring.values[ring.slots[i], :, rows].double().repeat_interleave(group, 0)
        near = (q[i].double().unsqueeze(1) @ keys.mT).squeeze(1)
        far = (q_sink[i].double().unsqueeze(1) @ keys.mT).squeeze(1)
        scores = torch.cat([far[:, : len(sinks)], near[:, len(sinks) :]], dim=1) * q.shape[-1] ** -0.5
        out.append((scores.softmax(-1).unsqueeze(1) @ values).squeeze(1))
    return torch.stack(out).float()


def steps_differ() -> float:
    """Run the GPU decoder's step, uncaptured, beside the plain decoder over a wrapping ring."""
    config = ModelConfig(
        layers=2, width=32, heads=4, kv_heads=2, head_dim=16, ffn_width=48, vocabulary=64,
        rope_base=1e4, norm_eps=1e-5, context=256,
    )  # fmt: skip
    model, shape = Backbone(config).eval(), CacheShape(window=20, sinks=3, rewind=8)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    fast, plain = CudaDecoder(model, shape, slots=3), TorchDecoder(model)
    pairs = [(fast.new_cache(), plain.new_cache(shape)) for _ in range(2)]
    for (one, other), length in zip(pairs, (2, 40), strict=True):
        ids = torch.randint(0, 64, (length,))
        fast.prefill(one, ids)
        plain.prefill(other, ids)
    worst = 0.0
    for _ in range(4):
        ids = torch.randint(0, 64, (2,))
        got = fast.decode_step([one for one, _ in pairs], ids, layer=1)
        want = plain.decode_step([other for _, other in pairs], ids, layer=1)
        assert got.hidden is not None
        assert want.hidden is not None
        worst = max(worst, (got.logits - want.logits).abs().max().item())
        worst = max(worst, (got.hidden - want.hidden).abs().max().item())
    return worst


def main() -> int:
    torch.manual_seed(0)
    if steps_differ() > 1e-4:
        sys.stderr.write(f"the decoder's steps differ by {steps_differ()}\n")
        return 1
    heads, kv_heads, head_dim, batch = 9, 3, 64, len(POSITIONS)
    keys = torch.randn(batch + 2, kv_heads, SHAPE.capacity, head_dim)
    values = torch.randn_like(keys)
    slots = torch.randperm(batch + 2)[:batch]
    ring = RingBuffers(keys, values, slots, torch.tensor(POSITIONS), SHAPE)
    q, q_sink = torch.randn(2, batch, heads, head_dim).unbind(0)
    want = reference(q, q_sink, ring)
    for parts in (1, 2, 4):
        difference = (ring_attention(q, q_sink, ring, parts) - want).abs().max().item()
        if difference > 1e-5:
            sys.stderr.write(f"{parts} parts differ by {difference}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
