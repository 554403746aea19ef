"""Trains the codec's learned codes: log mel to codes and back, compared as spectra and as the ear hears."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from assistant.training.codec_clips import CodecClips, CodedProsody, coloured
from assistant.training.ear_loss import EarLoss
from assistant.training.mel_critic import MelCritic, fooling_loss, judging_loss
from assistant.training.precision import mixed
from assistant.training.runs import cosine, follow
from audiocodec.colour import Colour
from audiocodec.mel import SILENCE, LogMel
from audiocodec.mel_decoder import MelDecoder
from audiocodec.numbers import MEL_FRAMES_PER_CODEC_FRAME
from audiocodec.sound_codes import ALL, MEL_SPREAD, SoundCoder, with_room

BATCH = 12
CROP_FRAMES = 32  # codec frames, all of which are judged: a stream begins with no history
EAR_MOVES = 8  # codec frames by which the ear's window is moved at most, so that it hears beginnings too
SLOPE_WEIGHT = 0.5  # of the error of the change from frame to frame, against blur
EAR_WEIGHT = 0.7
SOUNDING = 2.5  # below a crop's loudest frame, in mean log mel, a frame still counts for its colour
BETAS, WEIGHT_DECAY = (0.9, 0.98), 0.01
CRITIC_RATE = 4e-4
KEPT = 0.998  # of the running average with each step
ALWAYS, NEVER = 0.1, 0.1  # part of the crops in which every frame has room for the spare codes, or none
LEAVES, COMES = 0.4, 0.33  # chance with each frame that room goes or comes: as behind the ear, about


class CodecNets(nn.Module):
    """Both directions."""

    def __init__(self, coder: SoundCoder, colour: Colour, decoder: MelDecoder) -> None:
        super().__init__()
        self.coder, self.colour, self.decoder = coder, colour, decoder

    def forward(self, mel: Tensor, prosody: Tensor, free: Tensor) -> Tensor:
        """Bring log mel (B, 8 (T + ahead), N_MELS) through the codes: (B, 8 T, N_MELS).

        ``prosody`` (B, T, PROSODY_WIDTH) is coded, ``free`` (B, T) tells where there is room for spare codes.
        """
        made, batch = self.uncoloured(mel, prosody, free), len(mel)
        told, _ = self.colour.tell(mel[:, : made.shape[1]], prosody, free, self.colour.initial_state(batch))
        made, _ = self.colour.paint(made, prosody, told, free, self.colour.initial_painting(batch))
        return made.clamp(min=SILENCE)

    def uncoloured(self, mel: Tensor, prosody: Tensor, free: Tensor) -> Tensor:
        """The same without the colour that is told by itself. This is what learns: behind it a mean is right
        whatever the nets make, and theirs would go where its levels cannot tell it.
        """
        numbers, _ = self.coder(mel, self.coder.initial_state(len(mel)))
        values = ALL.values(numbers[:, self.coder.config.ahead :])
        made: Tensor
        made, _ = self.decoder(prosody, with_room(values, free), self.decoder.initial_state(len(mel)))
        return made


@dataclass(frozen=True)
class Pace:
    """How fast it learns."""

    steps: int
    rate: float = 1.5e-3
    warm_up: int = 100  # steps
    critic_from: int = 10**9  # step at which the critic joins
    fitted: int = 40  # batches on which the ear's bands are fitted
    colours: int = 150  # batches on which the axes of colour are fitted in the end


class CodecRecipe:
    """Trainable: one step is one batch of crops."""

    def __init__(
        self, nets: CodecNets, clips: CodecClips, prosody: CodedProsody, ear: EarLoss, pace: Pace
    ) -> None:
        self.nets, self.average = nets.train(), copy.deepcopy(nets)
        self.clips, self.prosody, self.ear, self.pace = clips, prosody, ear, pace
        self.log_mel = LogMel()
        self.frames = CROP_FRAMES + nets.coder.config.ahead
        inside = {
            id(p)
            for name, p in nets.named_parameters()
            if p.dim() == 2 and name.rsplit(".", 2)[-2] in {"up", "down", "narrow", "widen", "refine"}
        }
        inner, others = (
            [p for p in nets.parameters() if (id(p) in inside) == wanted] for wanted in (True, False)
        )
        self.inner = torch.optim.Muon(
            inner, pace.rate, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
        )
        self.others = torch.optim.AdamW(others, pace.rate, betas=BETAS, weight_decay=WEIGHT_DECAY)
        self.learning: tuple[torch.optim.Optimizer, ...] = (self.inner, self.others)
        self.critic: MelCritic | None = None
        if pace.critic_from < pace.steps:
            self.critic = MelCritic()
            self.judging = torch.optim.AdamW(self.critic.parameters(), CRITIC_RATE, betas=(0.5, 0.9))
        rng = np.random.default_rng(10)
        ear.fit(clips.draw(rng, BATCH, self.frames) for _ in range(pace.fitted))

    def modules(self) -> dict[str, nn.Module]:
        """The nets and their running average, and the critic."""
        kept: dict[str, nn.Module] = {"nets": self.nets, "average": self.average}
        return kept if self.critic is None else kept | {"critic": self.critic}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Their optimisers."""
        kept: dict[str, torch.optim.Optimizer] = {"inner": self.inner, "others": self.others}
        return kept if self.critic is None else kept | {"judging": self.judging}

    def step(self, number: int) -> dict[str, float]:
        """Learn from one batch; gives the mean error of log mel, and the ear's and the critic's loss."""
        rng = np.random.default_rng((9, number))
        pcm = self.clips.draw(rng, BATCH, self.frames)
        with torch.no_grad():
            mel, _ = self.log_mel(pcm, self.log_mel.initial_state(BATCH))
        free, goal = room(rng, BATCH, CROP_FRAMES), mel[:, : CROP_FRAMES * MEL_FRAMES_PER_CODEC_FRAME]
        for optimizer in self.learning:
            for group in optimizer.param_groups:
                group["lr"] = self.pace.rate * cosine(number, self.pace.steps, self.pace.warm_up)
        with mixed("cpu"):
            made = self.nets.uncoloured(mel, self.prosody(pcm)[:, :CROP_FRAMES], free)
            until = goal.shape[1] - MEL_FRAMES_PER_CODEC_FRAME * int(rng.integers(EAR_MOVES))
            heard = self.ear(made[:, :until], goal[:, :until])
        error = (made - goal).abs().mean()
        slope = (made.diff(dim=1) - goal.diff(dim=1)).abs().mean()
        loss, shown = (error + SLOPE_WEIGHT * slope) / MEL_SPREAD + EAR_WEIGHT * heard, {}
        if self.critic is not None and number >= self.pace.critic_from:
            judged = judging_loss(self.critic, made, goal)
            self.judging.zero_grad(set_to_none=True)
            torch.autograd.backward(judged)
            self.judging.step()
            loss, shown = loss + fooling_loss(self.critic, made, goal), {"critic": float(judged.detach())}
        for optimizer in self.learning:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.nets.parameters(), 1.0)
        for optimizer in self.learning:
            optimizer.step()
        follow(self.average, self.nets, number, KEPT)
        if number + 1 == self.pace.steps:
            self.fit_colour()
        return {"mel": float(error.detach()), "ear": float(heard.detach())} | shown

    @torch.no_grad()
    def fit_colour(self) -> None:
        """Fit the axes of colour to what the averaged nets leave out of colours that they do not know."""
        rng, missing = np.random.default_rng(11), []
        for _ in range(self.pace.colours):
            pcm = coloured(self.clips.draw(rng, BATCH, self.frames), rng)
            mel, _ = self.log_mel(pcm, self.log_mel.initial_state(BATCH))
            free, prosody = room(rng, BATCH, CROP_FRAMES), self.prosody(pcm)[:, :CROP_FRAMES]
            made = self.average.uncoloured(mel, prosody, free)
            missing.append(missing_colour(made, mel[:, : made.shape[1]]))
        for nets in (self.average, self.nets):
            nets.colour.fit(torch.cat(missing))


def missing_colour(made: Tensor, true: Tensor) -> Tensor:
    """What is missing in the mean spectrum (B, N_MELS) of each of (B, T, N_MELS), of frames that sound."""
    level = true.mean(dim=-1, keepdim=True)
    sounds = (level > level.amax(dim=1, keepdim=True) - SOUNDING).float()
    return ((true - made) * sounds).sum(dim=1) / sounds.sum(dim=1)


def room(rng: np.random.Generator, batch: int, frames: int) -> Tensor:
    """Draw which frames have room for the spare codes: (batch, frames) bool."""
    drawn, chances = np.zeros((batch, frames), bool), rng.random((batch, frames))
    here = chances[:, 0] < COMES / (COMES + LEAVES)
    for frame in range(frames):
        here = np.where(here, chances[:, frame] >= LEAVES, chances[:, frame] < COMES)
        drawn[:, frame] = here
    kind = rng.random((batch, 1))
    return torch.from_numpy(np.where(kind < ALWAYS, True, np.where(kind < ALWAYS + NEVER, False, drawn)))
