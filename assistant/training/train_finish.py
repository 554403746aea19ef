"""Recipe of the voice's finish: the mel head's frames and the vocoder together, all losses reaching both.

The teacher makes its sound from two filters, one for pulses and one for noise, and so does the vocoder. The
teacher's filters are therefore shown outright: they are smooth and certain, where the sound's own spectra are
full of chance. What they leave open, the phases above all, critics teach afterwards.

The head is led along the teacher's durations, pitch and energy, so that its frames lie exactly on the sound.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim import AdamW, Optimizer

from assistant.errors import WeightsError
from assistant.model.speaking.frames import places, stretch
from assistant.model.speaking.head import MelHead
from assistant.training import runs
from assistant.training.critics import Critics, critic_loss, fooling_loss
from assistant.training.precision import mixed
from assistant.training.train_mel_head import frame_difference, unit_energy
from assistant.training.train_vocoder import SpectralLoss, pitch_loss
from assistant.training.voice_batches import Batch, Example, lay_out
from audiocodec.numbers import MEL_HOP_LENGTH, SAMPLE_RATE
from audiocodec.source import LOWEST_HZ, TOP_HZ
from audiocodec.vocoder import SYNTHESIS_LENGTH, VOCODER_DELAY, SourceFilterVocoder

READ_AT_ONCE = 12  # sentences
LEAD = 40  # hops before a clip's judged part, for the nets' history
OWN_SHARE = 0.35  # part of the steps on the sound's own mel: the vocoder must go on decoding that
QUIET = -9.0  # log gain under which filters are not told apart
NEAR_HZ, BETWEEN = 35.0, 0.15  # what counts as on a harmonic, and the weight of what does not
TONE_BINS = round(TOP_HZ / SAMPLE_RATE * SYNTHESIS_LENGTH)  # above it there are no pulses


@dataclass(frozen=True, slots=True)
class FinishPlan:
    """Settings of the recipe."""

    steps: int = 3_000
    batch: int = 10
    hops: int = 72  # judged hops of a clip
    rate: float = 4e-4
    critics_from: int = 800
    critic_rate: float = 3e-4
    filters: float = 1.0  # weight of the filters' loss,
    filters_later: float = 0.3  # and beside the critics
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a corpus, or a batch of clips of them, with what the head is given and what is true."""

    rows: Tensor  # (..., T, width + places) what the head stretches over time
    f0_hz: Tensor  # (..., T)
    energy: Tensor  # (..., T)
    style: Tensor  # (..., T) int64
    mel: Tensor  # (..., T, N_MELS) of the sound
    filters: Tensor  # (..., T, 2 * BINS) log gains of the teacher's pulses and noise
    pcm: Tensor  # (..., T, MEL_HOP_LENGTH)

    def clips(self, starts: list[int], hops: int) -> "Frames":
        """Cut clips of so many hops, in single precision."""
        names = self.__dataclass_fields__
        cut = {name: torch.stack([getattr(self, name)[s : s + hops] for s in starts]) for name in names}
        return Frames(**{n: part if part.dtype == torch.long else part.float() for n, part in cut.items()})


@torch.inference_mode()
def led(head: MelHead, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the head gives its frames under the teacher's durations: rows and energy of each frame."""
    x, summary = head.prosody.encode(batch.window, batch.word_styles, batch.states, batch.next_states)
    memory, _ = head.prosody.memory(
        pad_sequence(list(torch.split(summary, batch.words_per_sentence)), batch_first=True)
    )
    memory = torch.cat([row[:count] for row, count in zip(memory, batch.words_per_sentence, strict=True)])
    features = head.prosody.decide(batch.window, x, memory).features
    rows = torch.cat([stretch(features, batch.spans), places(batch.spans)], dim=-1)
    return rows, stretch(unit_energy(batch.mel, batch.spans), batch.spans)


def lead(head: MelHead, examples: list[Example]) -> Frames:
    """Let the head read a corpus once; its prosody stays as it is."""
    kept = [example for example in examples if example.pcm is not None and example.filters is not None]
    if not kept:
        raise WeightsError("no speech was kept with its sound: run `vivavoce train voice-data`")
    parts = []
    for first in range(0, len(kept), READ_AT_ONCE):
        batch = lay_out(kept[first : first + READ_AT_ONCE])
        rows, energy = led(head.eval(), batch)
        style = batch.styles.repeat_interleave(torch.tensor(batch.frames_per_sentence))
        parts.append((rows.half(), batch.f0, energy.half(), style, batch.mel.half()))
    rows, f0, energy, style, mel = (torch.cat(part) for part in zip(*parts, strict=True))
    filters = torch.from_numpy(np.concatenate([one.filters for one in kept if one.filters is not None]))
    pcm = np.concatenate([one.pcm for one in kept if one.pcm is not None])
    sound = torch.from_numpy(pcm).half().div_(32_768).view(-1, MEL_HOP_LENGTH)
    return Frames(rows, f0, energy, style, mel, filters, sound)


def filter_loss(shapes: Tensor, filters: Tensor, f0_hz: Tensor) -> Tensor:
    """Distance of log gains: the vocoder's (B, T, 3 * BINS) and the teacher's (B, T, 2 * BINS)."""
    gain, _, hiss = shapes.chunk(3, dim=-1)
    tone, noise = filters.chunk(2, dim=-1)
    weight = on_harmonics(f0_hz)
    tone_miss = (apart(gain, tone)[..., :TONE_BINS] * weight).sum() / weight.sum().clamp_min(1)
    return tone_miss + apart(hiss, noise).mean()


def on_harmonics(f0_hz: Tensor) -> Tensor:
    """Weight (B, T, TONE_BINS) of each bin for pitch (B, T): much on a harmonic, little between
    them, where the teacher was never held to anything, none where there is no voice.
    """
    bins = torch.arange(TONE_BINS, device=f0_hz.device) * (SAMPLE_RATE / SYNTHESIS_LENGTH)
    order = bins / f0_hz.clamp_min(LOWEST_HZ)[..., None]
    near = (order - order.round()).abs() * f0_hz[..., None] <= NEAR_HZ
    return torch.where(near, 1.0, BETWEEN) * (f0_hz > LOWEST_HZ)[..., None]


def apart(made: Tensor, true: Tensor) -> Tensor:
    """Distance of log gains; none where both are too quiet to matter."""
    miss = (made - true.clamp_min(QUIET)).abs()
    return miss.masked_fill((made < QUIET) & (true < QUIET), 0.0)


class FinishRecipe:
    """Trains the frames and the vocoder; see ``runs.train``."""

    def __init__(self, head: MelHead, vocoder: SourceFilterVocoder, corpus: Frames, plan: FinishPlan) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.corpus = plan, corpus
        self.frames, self.vocoder = head.frames.train(), vocoder.train()
        self.averages = nn.ModuleDict(
            {"frames": copy.deepcopy(head.frames), "vocoder": copy.deepcopy(vocoder)}
        )
        self.loss, self.critics = SpectralLoss(), Critics()
        parameters = [*self.frames.parameters(), *self.vocoder.parameters()]
        self.optimizer = AdamW(parameters, plan.rate, betas=(0.8, 0.99), weight_decay=0.01)
        self.critic_optimizer = AdamW(self.critics.parameters(), plan.critic_rate, betas=(0.8, 0.99))

    def modules(self) -> Mapping[str, nn.Module]:
        """Nets to be kept."""
        nets = {"frames": self.frames, "vocoder": self.vocoder, "critics": self.critics}
        return nets | {f"average_{name}": net for name, net in self.averages.items()}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Optimisers to be kept."""
        return {"voice": self.optimizer, "critics": self.critic_optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Take one step and give its losses."""
        plan, rng = self.plan, runs.seed_step(self.plan.seed, number)
        length = LEAD + plan.hops + VOCODER_DELAY
        starts = [rng.randrange(len(self.corpus.f0_hz) - length) for _ in range(plan.batch)]
        clip = self.corpus.clips(starts, length)
        own, fight = rng.random() < OWN_SHARE, number >= plan.critics_from
        losses, made, real = self.losses(clip, own, rng.getrandbits(30))
        shown = {name: loss.item() for name, loss in losses.items()}
        weights = {"filters": plan.filters_later if fight else plan.filters, "pitch": 0.3}
        loss = torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()
        if fight:
            judged = critic_loss(self.critics, made.detach(), real, rng)
            self.critic_optimizer.zero_grad()
            torch.autograd.backward(judged)
            self.critic_optimizer.step()
            fooling = fooling_loss(self.critics, made, real, rng)
            loss, shown = loss + fooling, shown | {"critic": judged.item(), "fooling": fooling.item()}
        runs.set_rate(self.optimizer, plan.rate * runs.cosine(number, plan.steps, warm_up=50))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.0)
        self.optimizer.step()
        for name, net in (("frames", self.frames), ("vocoder", self.vocoder)):
            runs.follow(self.averages[name], net, number)
        return shown

    def losses(self, clip: Frames, own: bool, seed: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """All losses of clips but the critics', and the made and the real sound (B, samples) of the judged
        part; ``own``: from the sound's own mel.
        """
        count = len(clip.f0_hz)
        with mixed("cpu"):
            mel = clip.mel
            if not own:
                state = self.frames.initial_state(count).mel
                mel, _ = self.frames.paint(clip.rows, clip.f0_hz, clip.energy, clip.style[:, 0], state)
            voiced, _ = self.vocoder(mel, self.vocoder.initial_state(count, seed), clip.f0_hz)
        made = voiced.pcm[:, (LEAD + VOCODER_DELAY) * MEL_HOP_LENGTH :]
        real = clip.pcm.flatten(1)[:, LEAD * MEL_HOP_LENGTH :][:, : made.shape[1]]
        judged = slice(LEAD, None)
        losses = {
            "filters": filter_loss(voiced.shapes[:, judged], clip.filters[:, judged], clip.f0_hz[:, judged]),
            "spectra": self.loss(made, real),
            "pitch": pitch_loss(voiced.pitch.float(), clip.f0_hz),
        }
        if not own:
            mask = torch.ones_like(clip.f0_hz[:, judged, None])
            losses["mel"] = frame_difference(mel[:, judged].float(), clip.mel[:, judged], mask)
        return losses, made, real
