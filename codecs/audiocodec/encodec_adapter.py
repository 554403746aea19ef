"""EnCodec behind the project's codec interface, for its public 24 kHz checkpoint.

Source: Défossez et al. 2022, arXiv:2210.13438; package ``encodec``. The net is the package's; only its
streaming is done here.
"""

from pathlib import Path

import torch
from encodec import EncodecModel
from safetensors.torch import load_file
from torch import Tensor, nn

from audiocodec.interface import CodecSpec
from audiocodec.numbers import exact_div
from audiocodec.seanet_stream import WalkState, stream

BLOCK_FRAMES = 12  # 160 ms at 75 Hz, as the project's own codec


class EncodecCodec(nn.Module):
    """A causal mono EnCodec at a chosen number of codebooks (2 of 1,024 entries are 1.5 kbit/s)."""

    def __init__(self, model: EncodecModel, codebooks: int = 2) -> None:
        """``model`` without normalisation of loudness or segments, as the 24 kHz model is."""
        super().__init__()
        if model.channels != 1 or model.normalize or model.segment is not None:
            raise ValueError("only mono EnCodec without segments and normalisation streams: the 24 kHz model")
        self.model = model.eval()
        hop_length = exact_div(int(model.sample_rate), int(model.frame_rate))
        size = int(model.quantizer.bins)
        self.spec = CodecSpec("encodec", int(model.sample_rate), hop_length, codebooks, size, BLOCK_FRAMES)

    def initial_encoding(self, batch: int) -> WalkState:
        """State before the first sample; the same for any ``batch``."""
        return WalkState()

    @torch.inference_mode()
    def encode(self, pcm: Tensor, state: WalkState) -> tuple[Tensor, WalkState]:
        """Turn (B, n * block_length) samples into codes (B, K, n * 12)."""
        if pcm.shape[-1] % self.spec.block_length:
            raise ValueError(f"got {pcm.shape[-1]} samples, need a multiple of {self.spec.block_length}")
        frames, state = stream(self.model.encoder.model, pcm[:, None], state)
        codes = self.model.quantizer.vq.encode(frames, n_q=self.spec.codebooks)
        return codes.transpose(0, 1), state

    def initial_decoding(self, batch: int) -> WalkState:
        """State before the first frame; the same for any ``batch``."""
        return WalkState()

    @torch.inference_mode()
    def decode(self, codes: Tensor, state: WalkState) -> tuple[Tensor, WalkState]:
        """Turn codes (B, K, T) into (B, T * hop_length) samples."""
        frames = self.model.quantizer.decode(codes.transpose(0, 1))
        pcm, state = stream(self.model.decoder.model, frames, state)
        return pcm[:, 0], state


def load_encodec(path: Path, codebooks: int = 2) -> EncodecCodec:
    """Load the public 24 kHz weights from a safetensors file with the package's own names."""
    model = EncodecModel.encodec_model_24khz(pretrained=False)
    model.load_state_dict(load_file(path))
    return EncodecCodec(model, codebooks)
