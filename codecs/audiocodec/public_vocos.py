"""Public Vocos checkpoints behind the vocoder's interface, for those who have them.

A stock Vocos is not causal and hops by 256 samples. It is run again over a stretch of frames around what is
new, and the frames are put on its grid by straight lines; 16 of ours are 15 of its own. Package ``vocos`` is
imported only here.

Source: Siuzdak 2023, Vocos, arXiv 2306.00814; checkpoints such as charactr/vocos-mel-24khz (MIT).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from audiocodec.mel import SILENCE
from audiocodec.numbers import MEL_HOP_LENGTH, MEL_WINDOW_LENGTH, N_FFT, N_MELS, exact_div

PUBLIC_HOP_LENGTH = 256
GROUP = 16  # our frames that are a whole number of public ones
PUBLIC_GROUP = exact_div(GROUP * MEL_HOP_LENGTH, PUBLIC_HOP_LENGTH)
HISTORY = 4 * GROUP  # frames before what is new
LOOK_AHEAD = 2 * GROUP  # frames after it
LOUDER = math.log(N_FFT / MEL_WINDOW_LENGTH)  # a longer window gives larger magnitudes


@dataclass(frozen=True, slots=True)
class PublicVocosState:
    """Small state, returned anew."""

    mel: Tensor  # frames from ``first`` on, (B, frames, N_MELS)
    first: int  # a multiple of GROUP; may be negative: silence before the stream
    given: int  # hops of sound given so far, lead-in included


class PublicVocos:
    """Runs a stock Vocos over a stream with bounded look-ahead."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model.eval()

    @property
    def delay_frames(self) -> int:
        """Mel frames of look-ahead."""
        return LOOK_AHEAD

    def initial_state(self, batch: int, seed: int = 0) -> PublicVocosState:
        """State before the first frame; nothing here is random, so ``seed`` changes nothing."""
        return PublicVocosState(torch.full((batch, HISTORY, N_MELS), SILENCE), -HISTORY, 0)

    @torch.inference_mode()
    def synthesize(
        self, mel: Tensor, state: PublicVocosState, f0_hz: Tensor | None = None
    ) -> tuple[Tensor, PublicVocosState]:
        """Map mel (B, n, N_MELS) to PCM (B, n * MEL_HOP_LENGTH), LOOK_AHEAD hops later; no use for pitch."""
        kept = torch.cat([state.mel, mel], dim=1)
        begin = (
            state.given - LOOK_AHEAD - state.first
        )  # the first wanted hop, counted from the first kept frame
        count = mel.shape[1]
        pcm = self._decode(kept)[:, begin * MEL_HOP_LENGTH :][:, : count * MEL_HOP_LENGTH]
        given = state.given + count
        drop = max(0, (given - LOOK_AHEAD - HISTORY - state.first) // GROUP * GROUP)
        return pcm, PublicVocosState(kept[:, drop:], state.first + drop, given)

    def _decode(self, mel: Tensor) -> Tensor:
        """Decode frames on our grid; frame t of ours is centred at t * hop - hop, of theirs at t * hop."""
        more = -mel.shape[1] % GROUP + 2
        padded = functional.pad(mel.transpose(1, 2), (0, more), mode="replicate")
        count = (mel.shape[1] + more) // GROUP * PUBLIC_GROUP
        place = torch.arange(count, device=mel.device) * (PUBLIC_HOP_LENGTH / MEL_HOP_LENGTH) + 1
        low = place.floor().long().clamp_max(padded.shape[2] - 2)
        part = (place - low).to(mel.dtype)
        public = padded[..., low] * (1 - part) + padded[..., low + 1] * part + LOUDER
        pcm: Tensor = self.model.decode(public)
        return functional.pad(pcm, (0, max(0, mel.shape[1] * MEL_HOP_LENGTH - pcm.shape[-1])))


def load_public_vocos(folder: Path) -> PublicVocos:
    """Load a checkpoint's folder with ``config.yaml`` and ``model.safetensors`` or ``pytorch_model.bin``.

    Raises:
        FileNotFoundError: one of the files is missing.
    """
    from safetensors.torch import load_file
    from vocos import Vocos

    model = Vocos.from_hparams(str(folder / "config.yaml"))
    safe = folder / "model.safetensors"
    if safe.exists():
        weights = load_file(safe)
    else:
        path = folder / "pytorch_model.bin"  # the only form in which they are published
        weights = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  # tensors only
    model.load_state_dict(weights)
    return PublicVocos(model)
