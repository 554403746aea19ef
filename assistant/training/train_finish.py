"""Recipe of the voice's finish: the mel head's frames and the vocoder together, all losses reaching both.

The teacher makes its sound from two filters, one for pulses and one for noise, and a rest with phases of its
own, and so does the vocoder. The teacher's are therefore shown outright: they are certain, where the sound's
own spectra are full of chance. Some steps decode the sound's own mel, and some that of other voices, of which
only the sound is known: the vocoder must go on with both. Critics may join at the end.

The head is led along the teacher's durations, pitch and energy, so that its frames lie exactly on the sound.
"""

import copy
import random
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
from assistant.training.train_vocoder import CONTEXT, Clips, SpectralLoss, pitch_loss
from assistant.training.voice_batches import Batch, Example, lay_out
from audiocodec.numbers import MEL_HOP_LENGTH, SAMPLE_RATE
from audiocodec.rest import GROUP_HOPS
from audiocodec.source import LOWEST_HZ, TOP_HZ
from audiocodec.vocoder import SYNTHESIS_LENGTH, VOCODER_DELAY, Shaped, SourceFilterVocoder

READ_AT_ONCE = 12  # sentences
LEAD = 40  # hops before a clip's judged part, for the nets' history
OWN_SHARE, OTHERS_SHARE = 0.08, 0.07  # parts of the steps on the sound's own mel, and on that of other voices
QUIET = -9.0  # log gain under which filters are not told apart
NEAR_HZ, BETWEEN = 35.0, 0.15  # what counts as on a harmonic, and the weight of what does not
REST_QUIET = -11.0  # the same for the rest, which may lie under everything
CLEAR_BINS, DIM = 300, 0.3  # bins in which the rest is heard well, to 6 kHz, and the weight of the others
WEIGHTS = {"rest": 2.0, "mel": 0.3, "pitch": 0.3}
TONE_BINS = round(TOP_HZ / SAMPLE_RATE * SYNTHESIS_LENGTH)  # above it there are no pulses


@dataclass(frozen=True, slots=True)
class FinishPlan:
    """Settings of the recipe."""

    steps: int = 3_000
    batch: int = 10
    hops: int = 75  # judged hops of a clip
    rate: float = 1e-3
    critics_from: int | None = None  # step at which the critics join
    critic_rate: float = 3e-4
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
    rest: Tensor  # (..., 4 * T / 5, 2 * REST_BINS) log gain and phase of the teacher's rest
    pcm: Tensor  # (..., T, MEL_HOP_LENGTH)

    def clips(self, starts: list[int], hops: int) -> "Frames":
        """Cut clips of so many hops, in single precision; all numbers are of whole groups of frames."""
        cut = {}
        for name in self.__dataclass_fields__:
            whole = getattr(self, name)
            per = len(whole) / len(self.f0_hz)
            cut[name] = torch.stack([whole[round(s * per) : round((s + hops) * per)] for s in starts])
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
    kept = [example for example in examples if example.pcm is not None and example.rest is not None]
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
    rest = torch.from_numpy(np.concatenate([one.rest for one in kept if one.rest is not None]))
    pcm = np.concatenate([one.pcm for one in kept if one.pcm is not None])
    sound = torch.from_numpy(pcm).half().div_(32_768).view(-1, MEL_HOP_LENGTH)
    return Frames(rows, f0, energy, style, mel, filters, rest, sound)


def filter_loss(made: Tensor, filters: Tensor, f0_hz: Tensor) -> Tensor:
    """Distance of log gains (B, T, 2 * BINS): the vocoder's and the teacher's."""
    (gain, hiss), (tone, noise) = made.chunk(2, dim=-1), filters.chunk(2, dim=-1)
    weight = on_harmonics(f0_hz)
    tone_miss = (apart(gain, tone, QUIET)[..., :TONE_BINS] * weight).sum() / weight.sum().clamp_min(1)
    return tone_miss + apart(hiss, noise, QUIET).mean()


def rest_loss(made: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of the rest's log gains, and of its phases where it is heard, both (B, T, 2 * REST_BINS)."""
    (gain, angle), (true_gain, true_angle) = made.chunk(2, dim=-1), true.chunk(2, dim=-1)
    clear = torch.where(torch.arange(gain.shape[-1], device=gain.device) < CLEAR_BINS, 1.0, DIM)
    weight = (true_gain > REST_QUIET) * clear
    turned = (1 - torch.cos(angle - true_angle)) * weight
    miss = (apart(gain, true_gain, REST_QUIET) * clear).mean() / clear.mean()
    return miss, turned.sum() / weight.sum().clamp_min(1)


def on_harmonics(f0_hz: Tensor) -> Tensor:
    """Weight (B, T, TONE_BINS) of each bin for pitch (B, T): much on a harmonic, little between
    them, where the teacher was never held to anything, none where there is no voice.
    """
    bins = torch.arange(TONE_BINS, device=f0_hz.device) * (SAMPLE_RATE / SYNTHESIS_LENGTH)
    order = bins / f0_hz.clamp_min(LOWEST_HZ)[..., None]
    near = (order - order.round()).abs() * f0_hz[..., None] <= NEAR_HZ
    return torch.where(near, 1.0, BETWEEN) * (f0_hz > LOWEST_HZ)[..., None]


def apart(made: Tensor, true: Tensor, quiet: float) -> Tensor:
    """Distance of log gains; none where both are too quiet to matter."""
    miss = (made - true.clamp_min(quiet)).abs()
    return miss.masked_fill((made < quiet) & (true < quiet), 0.0)


class FinishRecipe:
    """Trains the frames and the vocoder; see ``runs.train``."""

    def __init__(
        self, head: MelHead, vocoder: SourceFilterVocoder, corpus: Frames, others: Clips, plan: FinishPlan
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.corpus, self.others = plan, corpus, others
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
        kind, fight = rng.random(), plan.critics_from is not None and number >= plan.critics_from
        if kind < OTHERS_SHARE:
            losses, made, real = self.decode_others(rng)
        else:
            length = LEAD + plan.hops
            places = (len(self.corpus.f0_hz) - length) // GROUP_HOPS
            starts = [rng.randrange(places) * GROUP_HOPS for _ in range(plan.batch)]
            clip = self.corpus.clips(starts, length)
            losses, shaped = self.speak(clip, own=kind < OTHERS_SHARE + OWN_SHARE)
            if fight:
                made, real = self.render(clip, shaped, rng.getrandbits(30))
                losses["spectra"] = self.loss(made, real)
        shown = {name: loss.item() for name, loss in losses.items()}
        loss = torch.stack([WEIGHTS.get(name, 1.0) * loss for name, loss in losses.items()]).sum()
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

    def speak(self, clip: Frames, own: bool) -> tuple[dict[str, Tensor], Shaped]:
        """Losses of the judged part of clips against the teacher's parts, and the vocoder's parts.

        ``own``: from the sound's own mel.
        """
        count = len(clip.f0_hz)
        with mixed("cpu"):
            mel = clip.mel
            if not own:
                state = self.frames.initial_state(count).mel
                mel, _ = self.frames.paint(clip.rows, clip.f0_hz, clip.energy, clip.style[:, 0], state)
            shaped = self.vocoder(mel, self.vocoder.initial_state(count), clip.f0_hz)
        judged, later = slice(LEAD, None), slice(LEAD * clip.rest.shape[1] // clip.mel.shape[1], None)
        gain, phase = rest_loss(shaped.rest[:, later], clip.rest[:, later])
        losses = {
            "filters": filter_loss(shaped.filters[:, judged], clip.filters[:, judged], clip.f0_hz[:, judged]),
            "rest": gain,
            "phase": phase,
            "pitch": pitch_loss(shaped.pitch.float(), clip.f0_hz),
        }
        if not own:
            mask = torch.ones_like(clip.f0_hz[:, judged, None])
            losses["mel"] = frame_difference(mel[:, judged].float(), clip.mel[:, judged], mask)
        return losses, shaped

    def render(self, clip: Frames, shaped: Shaped, seed: int) -> tuple[Tensor, Tensor]:
        """The made and the real sound (B, samples) of the judged part."""
        pcm, _ = self.vocoder.sound(shaped, self.vocoder.initial_state(len(clip.f0_hz), seed))
        made = pcm[:, (LEAD + VOCODER_DELAY) * MEL_HOP_LENGTH :]
        return made, clip.pcm.flatten(1)[:, LEAD * MEL_HOP_LENGTH :][:, : made.shape[1]]

    def decode_others(self, rng: random.Random) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The same for other voices, of which the sound and the pitch are known."""
        clip = self.others.draw(rng, self.plan.batch, self.plan.hops + CONTEXT + VOCODER_DELAY)
        with torch.no_grad():
            mel, _ = self.loss.mel(clip.pcm, self.loss.mel.initial_state(len(clip.pcm)))
        with mixed("cpu"):
            state = self.vocoder.initial_state(len(clip.pcm), rng.getrandbits(30))
            shaped = self.vocoder(mel, state, clip.f0_hz)
            pcm, _ = self.vocoder.sound(shaped, state)
        made = pcm[:, (CONTEXT + VOCODER_DELAY) * MEL_HOP_LENGTH :]
        real = clip.pcm[:, CONTEXT * MEL_HOP_LENGTH :][:, : made.shape[1]]
        pitch = pitch_loss(shaped.pitch.float(), clip.f0_hz)
        return {"spectra": self.loss(made, real), "pitch": pitch}, made, real
