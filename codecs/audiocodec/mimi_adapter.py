"""Mimi behind the project's codec interface, for its public checkpoint.

Source: Défossez et al. 2024, arXiv:2410.00037, section 3.3; the net is ``transformers``' ``MimiModel``. That
package streams its encoder but not its decoder; here both are streamed alike.
"""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MimiModel

from audiocodec.interface import CodecSpec
from audiocodec.numbers import exact_div
from audiocodec.seanet_stream import WalkState, stream

BLOCK_FRAMES = 2  # 160 ms at 12.5 Hz


@dataclass(frozen=True, slots=True)
class MimiState:
    """Convolutions' tails before and after the transformer, and the transformer's cache (None before the
    first frame).

    The cache is copied at each step, so that an older state stays what it was.
    """

    net: WalkState = field(default_factory=WalkState)
    resampler: WalkState = field(default_factory=WalkState)
    cache: Any = None


class MimiCodec(nn.Module):
    """Mimi at a chosen number of codebooks (8 of 2,048 entries are 1.1 kbit/s)."""

    def __init__(self, model: MimiModel, codebooks: int = 8) -> None:
        super().__init__()
        config = model.config
        if not config.use_causal_conv:
            raise ValueError("only a causal Mimi can be streamed")
        self.model = model.eval()
        hop_length = exact_div(int(config.sampling_rate * 10), int(config.frame_rate * 10))
        size = int(config.codebook_size)
        self.spec = CodecSpec("mimi", int(config.sampling_rate), hop_length, codebooks, size, BLOCK_FRAMES)

    def initial_encoding(self, batch: int) -> MimiState:
        """State before the first sample; the same for any ``batch``."""
        return MimiState()

    @torch.inference_mode()
    def encode(self, pcm: Tensor, state: MimiState) -> tuple[Tensor, MimiState]:
        """Turn (B, n * block_length) samples into codes (B, K, n * 2)."""
        if pcm.shape[-1] % self.spec.block_length:
            raise ValueError(f"got {pcm.shape[-1]} samples, need a multiple of {self.spec.block_length}")
        encoder = self.model.encoder
        x, net = stream(encoder.encoder_seanet.layers, pcm[:, None], state.net)
        x, cache = self._attend(encoder.encoder_transformer, x, state.cache)
        x, resampler = stream([encoder.downsample], x, state.resampler)
        codes = self.model.quantizer.encode(x, self.spec.codebooks)
        return codes.transpose(0, 1), MimiState(net, resampler, cache)

    def initial_decoding(self, batch: int) -> MimiState:
        """State before the first frame; the same for any ``batch``."""
        return MimiState()

    @torch.inference_mode()
    def decode(self, codes: Tensor, state: MimiState) -> tuple[Tensor, MimiState]:
        """Turn codes (B, K, T) into (B, T * hop_length) samples."""
        decoder = self.model.decoder
        x, resampler = stream([decoder.upsample], self.model.quantizer.decode(codes), state.resampler)
        x, cache = self._attend(decoder.decoder_transformer, x, state.cache)
        pcm, net = stream(decoder.decoder_seanet.layers, x, state.net)
        return pcm[:, 0], MimiState(net, resampler, cache)

    def _attend(self, transformer: nn.Module, x: Tensor, cache: Any) -> tuple[Tensor, Any]:
        out = transformer(x.transpose(1, 2), past_key_values=copy.deepcopy(cache), use_cache=True)
        return out.last_hidden_state.transpose(1, 2), out.past_key_values


def load_mimi(folder: Path, codebooks: int = 8) -> MimiCodec:
    """Load the public weights from a folder with config.json and model.safetensors."""
    return MimiCodec(
        MimiModel.from_pretrained(folder, local_files_only=True, use_safetensors=True), codebooks
    )
