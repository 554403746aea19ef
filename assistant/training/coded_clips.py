"""What the codec's vocoder learns from: sound, and what the codes leave of its spectra.

The pitch is the true one, so that spectra can be compared harmonic by harmonic; later the vocoder is given
what the codes leave of it.
"""

import random

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from assistant.training.codec_clips import CodedProsody
from assistant.training.train_codec import CodecNets, room
from assistant.training.train_renderer import Kept
from assistant.training.train_vocoder import Clip, Clips, DrawsClips
from audiocodec.mel import LogMel
from audiocodec.numbers import MEL_FRAMES_PER_CODEC_FRAME, MEL_HOP_LENGTH, exact_div
from audiocodec.source import LOWEST_HZ

LEAD_FRAMES = 4  # codec frames of a crop before the clip, for the nets' history
TRUE_PART = 0.25  # of the batches that keep their own spectra
LEVEL = (-0.5, 0.35)  # decades


class CodedClips:
    """Draws clips from others and brings them through the codes."""

    def __init__(self, nets: CodecNets, source: DrawsClips, prosody: CodedProsody) -> None:
        self.nets, self.source, self.prosody = nets.eval(), source, prosody
        self.log_mel = LogMel()

    @torch.no_grad()
    def draw(self, rng: random.Random, count: int, hops: int) -> Clip:
        """Cut clips of so many hops anywhere."""
        coded = LEAD_FRAMES + -(-hops // MEL_FRAMES_PER_CODEC_FRAME)
        frames = coded + self.nets.coder.config.ahead
        clip = self.source.draw(rng, count, frames * MEL_FRAMES_PER_CODEC_FRAME)
        pcm = clip.pcm * torch.tensor([[10 ** rng.uniform(*LEVEL)] for _ in range(count)])
        start = LEAD_FRAMES * MEL_FRAMES_PER_CODEC_FRAME
        sound = pcm[:, start * MEL_HOP_LENGTH : (start + hops) * MEL_HOP_LENGTH]
        pitch = clip.f0_hz[:, start : start + hops]
        if rng.random() < TRUE_PART:
            return Clip(sound, pitch)
        mel, _ = self.log_mel(pcm, self.log_mel.initial_state(count))
        free = room(np.random.default_rng(rng.getrandbits(60)), count, coded)
        made = self.nets(mel, self.prosody(pcm)[:, :coded], free)
        return Clip(sound, pitch, made[:, start : start + hops])


def kept_clips(kept: Kept) -> Clips:
    """Kokoro's speech with the pitch that it was made with, at hops of mel frames."""
    hops = len(kept.pcm) // MEL_HOP_LENGTH
    frame_length = exact_div(len(kept.pcm), len(kept.f0_hz))
    place = torch.arange(hops) * MEL_HOP_LENGTH / frame_length - 0.5  # a frame's pitch is that of its middle
    low = place.floor().long().clamp(0, len(kept.f0_hz) - 2)
    return Clips(kept.pcm.numpy(), between(kept.f0_hz, low, (place - low).clamp(0, 1)).numpy())


def between(pitch: Tensor, low: Tensor, part: Tensor) -> Tensor:
    """Pitch between rows ``low`` and the next ones; where one of them is unvoiced, the nearer one's."""
    pair = torch.stack([pitch[low], pitch[low + 1]])
    nearer = torch.where(part < 0.5, pair[0], pair[1])
    found = torch.where((pair > LOWEST_HZ).all(dim=0), torch.lerp(pair[0], pair[1], part), nearer)
    return functional.threshold(found, LOWEST_HZ, 0.0)
