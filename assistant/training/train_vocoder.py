"""Recipe of the vocoder: spectra at several resolutions, pitch taught outright, then narrow critics.

The pulses follow the true pitch in training, so that spectra can be compared harmonic by harmonic.
"""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from assistant.errors import WeightsError
from assistant.training import runs
from assistant.training.critics import Critics, critic_loss, fooling_loss
from assistant.training.precision import mixed
from audiocodec.mel import LogMel
from audiocodec.numbers import MEL_HOP_LENGTH
from audiocodec.source import LOWEST_HZ
from audiocodec.vocoder import PITCH_REFERENCE_HZ, VOCODER_DELAY, SourceFilterVocoder, VocoderConfig

RESOLUTIONS = ((2048, 480), (1024, 240), (512, 128), (128, 48))  # length and hop of the compared transforms
FLOOR = 1e-4  # root mean square that counts as silence in the comparison: -80 dB
CONTEXT = 12  # hops before a clip's judged part, for the nets' history


@dataclass(frozen=True, slots=True)
class VocoderPlan:
    """Settings of the recipe."""

    steps: int = 8_000
    batch: int = 12
    hops: int = 64  # judged hops of a clip
    rate: float = 1e-3
    adversarial_from: int = 10**9  # step at which the critics join
    critic_rate: float = 3e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Clip:
    """A batch of clips cut at hops."""

    pcm: Tensor  # (B, hops * MEL_HOP_LENGTH)
    f0_hz: Tensor  # (B, hops)
    mel: Tensor | None = None  # (B, hops, N_MELS), where the vocoder is to hear other frames than the sound's


class DrawsClips(Protocol):
    """Where clips come from."""

    def draw(self, rng: random.Random, count: int, hops: int) -> Clip:
        """Cut clips of so many hops anywhere."""
        ...


@dataclass(frozen=True)
class Clips:
    """Draws clips from speech that lies in memory."""

    pcm: NDArray[np.int16]  # (hops * MEL_HOP_LENGTH,)
    f0: NDArray[np.floating]  # (hops,)

    @classmethod
    def read(cls, folder: Path) -> "Clips":
        """Read a corpus made by ``vocoder_data``.

        Raises:
            WeightsError: there is none.
        """
        shards = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
        if not shards:
            raise WeightsError(f"no speech in {folder}: run `vivavoce train voice-data`")
        return cls(*(np.concatenate([shard[name] for shard in shards]) for name in ("pcm", "f0")))

    def draw(self, rng: random.Random, count: int, hops: int) -> Clip:
        """Cut clips of so many hops anywhere."""
        starts = [rng.randrange(len(self.f0) - hops) for _ in range(count)]
        pcm = np.stack([self.pcm[s * MEL_HOP_LENGTH : (s + hops) * MEL_HOP_LENGTH] for s in starts])
        f0 = np.stack([self.f0[s : s + hops] for s in starts])
        return Clip(torch.from_numpy(pcm).float() / 32_768, torch.from_numpy(f0).float())


class SpectralLoss(nn.Module):
    """Distance of log magnitudes at several resolutions, and of log mel."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = LogMel()

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Compare PCM (B, T) with PCM (B, T)."""
        total = made.new_zeros(())
        for length, hop in RESOLUTIONS:
            window = torch.hann_window(length, device=made.device)
            both = torch.cat([made, real])
            size = torch.stft(both, length, hop, window=window, center=True, return_complex=True).abs()
            a, b = size.clamp_min(FLOOR * (length * 0.375) ** 0.5).chunk(2)
            total = total + (a.log() - b.log()).abs().mean() + 0.5 * (a - b).norm() / b.norm()
        mel, _ = self.mel(torch.cat([made, real]), self.mel.initial_state(2 * len(made)))
        a, b = mel.chunk(2)
        loss: Tensor = total / len(RESOLUTIONS) + (a - b).abs().mean()
        return loss


def pitch_loss(heard: Tensor, f0_hz: Tensor) -> Tensor:
    """Compare the pitch net's output (B, T, 2) with pitch (B, T)."""
    voiced = f0_hz > LOWEST_HZ
    height = torch.log2(f0_hz.clamp_min(LOWEST_HZ) / PITCH_REFERENCE_HZ)
    miss = ((heard[..., 0] - height).abs() * voiced).sum() / voiced.sum().clamp_min(1)
    return 4 * miss + functional.binary_cross_entropy_with_logits(heard[..., 1], voiced.float())


class VocoderRecipe:
    """Trains a vocoder; see ``runs.train``."""

    def __init__(
        self,
        start: VocoderConfig | SourceFilterVocoder,
        plan: VocoderPlan,
        clips: DrawsClips,
        device: torch.device,
    ) -> None:
        """``start``: a vocoder that goes on learning, or the sizes of a new one."""
        torch.manual_seed(plan.seed)
        self.plan, self.clips, self.device = plan, clips, device
        vocoder = SourceFilterVocoder(start) if isinstance(start, VocoderConfig) else start
        self.vocoder = vocoder.train().to(device)
        self.average = copy.deepcopy(self.vocoder)
        self.loss = SpectralLoss().to(device)
        self.optimizer = AdamW(self.vocoder.parameters(), plan.rate, betas=(0.8, 0.99), weight_decay=0.01)
        self.critics: Critics | None = None
        if plan.adversarial_from < plan.steps:
            self.critics = Critics().to(device)
            self.critic_optimizer = AdamW(self.critics.parameters(), plan.critic_rate, betas=(0.8, 0.99))

    def modules(self) -> Mapping[str, nn.Module]:
        """Nets to be kept."""
        kept: dict[str, nn.Module] = {"vocoder": self.vocoder, "average": self.average}
        return kept if self.critics is None else kept | {"critics": self.critics}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Optimisers to be kept."""
        kept: dict[str, Optimizer] = {"vocoder": self.optimizer}
        return kept if self.critics is None else kept | {"critics": self.critic_optimizer}

    def speak(self, clip: Clip, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Run clips through mel and vocoder: made and real PCM of the judged part, the pitch net's output."""
        pcm = clip.pcm.to(self.device)
        if clip.mel is not None:
            mel = clip.mel.to(self.device)
        else:
            with torch.no_grad():
                mel, _ = self.loss.mel(pcm, self.loss.mel.initial_state(len(pcm)))
        with mixed(self.device.type):
            state = self.vocoder.initial_state(len(pcm), seed)
            shaped = self.vocoder(mel, state, clip.f0_hz.to(self.device))
            pcm_made, _ = self.vocoder.sound(shaped, state)
        made = pcm_made[:, (CONTEXT + VOCODER_DELAY) * MEL_HOP_LENGTH :]
        return made, pcm[:, CONTEXT * MEL_HOP_LENGTH :][:, : made.shape[1]], shaped.pitch.float()

    def step(self, number: int) -> dict[str, float]:
        """Take one step and give its losses."""
        plan = self.plan
        rng = runs.seed_step(plan.seed, number)
        clip = self.clips.draw(rng, plan.batch, plan.hops + CONTEXT + VOCODER_DELAY)
        made, real, heard = self.speak(clip, rng.getrandbits(30))
        spectra, pitch = self.loss(made, real), pitch_loss(heard, clip.f0_hz.to(self.device))
        shown = {"spectra": spectra.item(), "pitch": pitch.item()}
        loss = spectra + 0.3 * pitch
        fight = self.critics is not None and number >= plan.adversarial_from
        if fight and self.critics is not None:
            judged = critic_loss(self.critics, made.detach(), real, rng)
            self.critic_optimizer.zero_grad()
            torch.autograd.backward(judged)
            self.critic_optimizer.step()
            fooling = fooling_loss(self.critics, made, real, rng)
            loss = loss + fooling
            shown |= {"critic": judged.item(), "fooling": fooling.item()}
        runs.set_rate(self.optimizer, plan.rate * runs.cosine(number, plan.steps))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.vocoder.parameters(), 1.0)
        self.optimizer.step()
        runs.follow(self.average, self.vocoder, number)
        return shown
