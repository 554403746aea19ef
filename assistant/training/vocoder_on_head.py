"""Clips whose mel frames are the mel head's own: what is blurred there, the vocoder learns to sound right.

The head is led along the teacher's durations, pitch and energy, so that its frames lie exactly on the
teacher's sound.
"""

import random

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from assistant.errors import WeightsError
from assistant.model.speaking.frames import places, stretch
from assistant.model.speaking.head import MelHead
from assistant.training.train_mel_head import padded, unit_energy
from assistant.training.train_vocoder import Clip, Clips
from assistant.training.voice_batches import Batch, Example, lay_out
from audiocodec.numbers import MEL_HOP_LENGTH

BATCH = 12  # sentences that the head reads at once
OWN_SHARE = 0.35  # part of the clips with the sound's own mel: the vocoder must go on decoding that


@torch.inference_mode()
def led_frames(head: MelHead, batch: Batch) -> torch.Tensor:
    """Let the head paint mel frames under the teacher's durations, pitch and energy, (frames, N_MELS)."""
    x, summary = head.prosody.encode(batch.window, batch.word_styles, batch.states, batch.next_states)
    memory, _ = head.prosody.memory(
        pad_sequence(list(torch.split(summary, batch.words_per_sentence)), batch_first=True)
    )
    memory = torch.cat([row[:count] for row, count in zip(memory, batch.words_per_sentence, strict=True)])
    prosody = head.prosody.decide(batch.window, x, memory)
    rows = torch.cat([stretch(prosody.features, batch.spans), places(batch.spans)], dim=-1)
    loud = stretch(unit_energy(batch.mel, batch.spans), batch.spans)
    counts = batch.frames_per_sentence
    rows, f0, loud = (padded(flat, counts) for flat in (rows, batch.f0, loud))
    made, _ = head.frames.paint(rows, f0, loud, batch.styles, head.frames.initial_state(len(counts)).mel)
    return torch.cat([row[:count] for row, count in zip(made, counts, strict=True)])


class HeadClips(Clips):
    """Draws clips with the head's mel, and some with the sound's own from another corpus."""

    def __init__(self, others: Clips, head: MelHead, examples: list[Example]) -> None:
        self.others = others
        kept = [example for example in examples if example.pcm is not None]
        if not kept:
            raise WeightsError("no speech was kept with its sound: run `vivavoce train voice-data`")
        parts = [kept[i : i + BATCH] for i in range(0, len(kept), BATCH)]
        self.mel = torch.cat([led_frames(head.eval(), lay_out(part)) for part in parts])
        self.pcm = np.concatenate([example.pcm for example in kept if example.pcm is not None])
        self.f0 = np.concatenate([example.f0 for example in kept])

    def draw(self, rng: random.Random, count: int, hops: int) -> Clip:
        """Cut clips of so many hops anywhere."""
        if rng.random() < OWN_SHARE:
            return self.others.draw(rng, count, hops)
        starts = [rng.randrange(len(self.f0) - hops) for _ in range(count)]
        pcm = np.stack([self.pcm[s * MEL_HOP_LENGTH : (s + hops) * MEL_HOP_LENGTH] for s in starts])
        f0 = np.stack([self.f0[s : s + hops] for s in starts])
        mel = torch.stack([self.mel[s : s + hops] for s in starts])
        return Clip(torch.from_numpy(pcm).float() / 32_768, torch.from_numpy(f0).float(), mel)
