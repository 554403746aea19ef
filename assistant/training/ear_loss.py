"""Compares spectra as the ear hears them: what it does not tell apart costs little, a lost consonant much.

The ear hears another mel scale over shorter windows than the one that is decoded. Each of its bands is
fitted, by ridge regression, to what the decoded mel frames around it have; that is near enough.
Source: losses inside a network that knows the matter, as in Johnson et al. 2016, arXiv 1603.08155; inside one
that recognises speech, to code it, as in Défossez et al. 2024, Moshi, arXiv 2410.00037, section 3.3 (there by
teaching, here by comparing).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from audiocodec.encoder import Encoder
from audiocodec.front_end import REFERENCE_FLOOR, FrontEnd, normalise
from audiocodec.mel import LogMel
from audiocodec.numbers import LISTEN_N_MELS, N_MELS
from audiocodec.sound_codes import MEL_CENTRE, MEL_SPREAD

BEFORE, AFTER = 1, 2  # mel frames around that a band is fitted to; the ear's windows end with the frame
CONTEXT = (BEFORE + 1 + AFTER) * N_MELS + 1  # and a constant
EDGE = 8  # mel frames at a clip's beginning that are not fitted: they hear what was before it
RIDGE = 10.0
COMPARED = (1, 3)  # of the ear's layers


class EarLoss(nn.Module):
    """Distance of log mel spectra in some layers of the ear. Has no parameters that learn."""

    bands: Tensor

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.register_buffer("bands", torch.zeros(CONTEXT, LISTEN_N_MELS))

    @torch.no_grad()
    def fit(self, sounds: Iterable[Tensor]) -> None:
        """Fit the ear's bands to decoded ones on batches of PCM (B, samples) at 24 kHz."""
        front_end, log_mel = FrontEnd(), LogMel()
        left = torch.zeros(CONTEXT, CONTEXT, dtype=torch.float64)
        right = torch.zeros(CONTEXT, LISTEN_N_MELS, dtype=torch.float64)
        for pcm in sounds:
            mel, _ = log_mel(pcm, log_mel.initial_state(len(pcm)))
            _, power, _, _ = front_end(pcm, front_end.initial_state(len(pcm)))
            x = around(mel)[:, EDGE:-AFTER].flatten(0, 1).double()
            left += x.T @ x
            right += x.T @ power.transpose(1, 2)[:, EDGE:-AFTER].flatten(0, 1).double()
        left += RIDGE * torch.eye(CONTEXT, dtype=torch.float64)
        self.bands.copy_(torch.linalg.solve(left, right))

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """Compare log mel (B, T, N_MELS) with log mel, over the newest of the ear's windows."""
        with torch.no_grad():
            goals = self.heard(true)
        pairs = zip(self.heard(made), goals, strict=True)
        return torch.stack([(ours - goal).square().mean() for ours, goal in pairs]).mean()

    def power(self, mel: Tensor) -> Tensor:
        """The ear's bands, decades (B, LISTEN_N_MELS, T), of log mel (B, T, N_MELS)."""
        return (around(mel) @ self.bands).transpose(1, 2)

    def heard(self, mel: Tensor) -> list[Tensor]:
        """The compared layers' outputs, normalised."""
        power = self.power(mel)
        normal, _ = normalise(power, power.new_full((len(power),), REFERENCE_FLOOR))
        found = self.encoder.look_once(normal)
        return [nn.functional.layer_norm(found[one].float(), found[one].shape[-1:]) for one in COMPARED]


def around(mel: Tensor) -> Tensor:
    """Each frame of (B, T, N_MELS) with its neighbours and a constant: (B, T, CONTEXT)."""
    normal = (mel - MEL_CENTRE) / (2 * MEL_SPREAD)
    padded = nn.functional.pad(normal, (0, 0, BEFORE, AFTER), mode="replicate")
    parts = [padded[:, start : start + mel.shape[1]] for start in range(BEFORE + 1 + AFTER)]
    return torch.cat([*parts, torch.ones_like(mel[..., :1])], dim=-1)
