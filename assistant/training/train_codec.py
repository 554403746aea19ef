"""Trains the codec's way back, from codes to mel, on speech that went through the encoder and
the codebooks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assistant.training.features import HEARD_STRIDE
from audiocodec.listener import Frames, Listener
from audiocodec.mel import LogMel
from audiocodec.numbers import CODEC_HOP_LENGTH, MEL_FRAMES_PER_CODEC_FRAME
from audiocodec.viva import MEL_SPREAD, MelDecoder

BATCH = 16
CROP_FRAMES = 24  # codec frames of one example: 1.9 s
RATE = 1e-3
SLOPE_WEIGHT = 0.5  # of the error of the change from frame to frame, against blur


@dataclass(frozen=True, slots=True)
class Pair:
    """One utterance as frames and as mel."""

    frames: Frames  # (1, T)
    mel: Tensor  # (8 T, N_MELS)


@torch.inference_mode()
def pair(listener: Listener, pcm: NDArray[np.int16]) -> Pair:
    """Hear one utterance and keep its own mel beside what its codes stand for."""
    sound = torch.from_numpy(pcm.astype(np.float32) / 32_768)
    frames = listener.name(listener.hear_all(sound[None], HEARD_STRIDE))
    log_mel = LogMel()
    sound = nn.functional.pad(sound, (0, frames.codes.shape[1] * CODEC_HOP_LENGTH - len(sound)))
    mel, _ = log_mel(sound[None], log_mel.initial_state(1))
    return Pair(frames, mel[0])


class CodecRecipe:
    """Trainable: one step is one batch of crops."""

    def __init__(
        self,
        decoder: MelDecoder,
        listener: Listener,
        corpora: Sequence[Sequence[NDArray[np.int16]]],
        steps: int,
    ) -> None:
        """Hears all sounds (24 kHz) once, which takes a while; of each corpus as many crops are drawn."""
        self.decoder, self.steps = decoder.train(), steps
        heard = [[pair(listener, sound) for sound in corpus] for corpus in corpora]
        self.corpora = [[one for one in pairs if one.frames.codes.shape[1] >= CROP_FRAMES] for pairs in heard]
        self.optimizer = torch.optim.AdamW(decoder.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.01)

    def modules(self) -> dict[str, nn.Module]:
        """The net."""
        return {"decoder": self.decoder}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Its optimiser."""
        return {"decoder": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch; gives the mean error of log mel."""
        rng = np.random.default_rng((9, number))
        crops = [self._crop(rng) for _ in range(BATCH)]
        frames = Frames(*(torch.cat(parts) for parts in zip(*(crop[:4] for crop in crops), strict=True)))
        goal = torch.stack([crop[4] for crop in crops])
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (number + 1) / 100) * max(0.03, 1 - number / self.steps)
        mel, _ = self.decoder(frames, self.decoder.initial_state(BATCH))
        error = (mel - goal).abs().mean()
        slope = (mel.diff(dim=1) - goal.diff(dim=1)).abs().mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward((error + SLOPE_WEIGHT * slope) / MEL_SPREAD)
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
        self.optimizer.step()
        return {"mel": float(error.detach())}

    def _crop(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        pairs = self.corpora[int(rng.integers(len(self.corpora)))]
        one = pairs[int(rng.integers(len(pairs)))]
        start = int(rng.integers(one.frames.codes.shape[1] - CROP_FRAMES + 1))
        span = slice(start, start + CROP_FRAMES)
        mel = one.mel[start * MEL_FRAMES_PER_CODEC_FRAME : (start + CROP_FRAMES) * MEL_FRAMES_PER_CODEC_FRAME]
        parts = one.frames
        return (
            parts.codes[:, span],
            parts.semantic[:, span],
            parts.prosody[:, span],
            parts.timbre[:, span],
            mel,
        )
