"""Recipe of the mel head: pronunciation, durations, energy, pitch and mel together, from the teacher."""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.optim import AdamW, Optimizer

from assistant.model.speaking.frames import places, stretch
from assistant.model.speaking.head import MelHead
from assistant.model.speaking.pronouncer import spelling
from assistant.training import runs
from assistant.training.precision import mixed
from assistant.training.voice_batches import Batch, Entry, Example, draw, lay_out
from audiocodec.source import LOWEST_HZ
from audiocodec.vocoder import PITCH_REFERENCE_HZ

CHECK_EVERY = 250  # steps
WEIGHTS = {
    "phones": 0.5,
    "lexicon": 0.5,
    "spans": 1.0,
    "energy": 0.3,
    "pitch": 3.0,
    "voicing": 0.5,
    "mel": 1.5,
}
PADDED_FRAMES = 64  # few different lengths: each one is prepared for once by the matrix library


@dataclass(frozen=True, slots=True)
class MelHeadPlan:
    """Settings of the recipe."""

    steps: int = 3_000
    batch: int = 8
    frame_batch: int = 4  # sentences of a batch whose frames are painted
    lexicon_batch: int = 48  # 0 leaves the pronouncer as it is: it learns long before the frames do
    rate: float = 1.5e-3
    state_dropout: float = 0.15  # the transformer will be tuned further: do not lean on single numbers of it
    blind: float = 0.1  # part of the words that are read without token state
    seed: int = 0


def pronunciation_loss(scores: Tensor, phones: list[list[int]] | list[tuple[int, ...]]) -> Tensor:
    """Connectionist temporal classification of (N, places, classes) scores, per phone."""
    lengths = torch.tensor([len(row) for row in phones])
    targets = torch.tensor([phone for row in phones for phone in row])
    logs = scores.float().log_softmax(-1).transpose(0, 1)
    sizes = torch.full((scores.shape[0],), scores.shape[1], dtype=torch.int64)
    loss = functional.ctc_loss(logs, targets, sizes, lengths, reduction="none", zero_infinity=True)
    return loss.sum() / lengths.sum()


def frame_difference(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Mean distance of mel frames (B, T, M), and of their changes over time and over bins."""
    count = mask.sum() * a.shape[-1]
    level = ((a - b).abs() * mask).sum() / count
    steps = (((a - b)[:, 1:] - (a - b)[:, :-1]).abs() * mask[:, 1:]).sum() / count
    slopes = (((a - b)[..., 1:] - (a - b)[..., :-1]).abs() * mask).sum() / count
    return level + 0.3 * (steps + slopes)


class MelHeadRecipe:
    """Trains a mel head; see ``runs.train``."""

    def __init__(
        self,
        head: MelHead,
        plan: MelHeadPlan,
        examples: list[Example],
        entries: list[Entry],
        device: torch.device,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.entries, self.device = plan, entries, device
        kept = max(1, len(examples) // 100)
        self.checks, self.examples = examples[:kept], examples[kept:]
        self.head = head.train().to(device)
        self.average = copy.deepcopy(self.head)
        self.optimizer = AdamW(self.head.parameters(), plan.rate, betas=(0.9, 0.98), weight_decay=0.01)

    def modules(self) -> Mapping[str, nn.Module]:
        """Nets to be kept."""
        return {"head": self.head, "average": self.average}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Optimisers to be kept."""
        return {"head": self.optimizer}

    def losses(self, head: MelHead, batch: Batch) -> dict[str, Tensor]:
        """All losses of one batch."""
        x, summary = head.prosody.encode(batch.window, batch.word_styles, batch.states, batch.next_states)
        memory, _ = head.prosody.memory(
            pad_sequence(list(torch.split(summary, batch.words_per_sentence)), batch_first=True)
        )
        memory = torch.cat([row[:count] for row, count in zip(memory, batch.words_per_sentence, strict=True)])
        prosody = head.prosody.decide(batch.window, x, memory)

        spans = torch.log2(batch.spans * batch.rates + 0.3)
        energy = unit_energy(batch.mel, batch.spans)
        return {
            "spans": functional.smooth_l1_loss(prosody.log_spans.float(), spans, beta=0.2),
            "energy": (prosody.energy.float() - energy).abs().mean(),
            **self.frame_losses(head, batch, prosody.features.float(), energy),
        }

    def frame_losses(
        self, head: MelHead, batch: Batch, features: Tensor, energy: Tensor
    ) -> dict[str, Tensor]:
        """Losses over frames, of the first sentences only: frames cost most and there are many of them."""
        counts = batch.frames_per_sentence[: self.plan.frame_batch]
        units, total = sum(batch.units_per_sentence[: len(counts)]), sum(counts)
        spans, styles = batch.spans[:units], batch.styles[: len(counts)]
        rows = torch.cat([stretch(features[:units], spans), places(spans)], dim=-1)
        columns = (
            rows,
            batch.f0[:total],
            batch.mel[:total],
            stretch(energy[:units], spans),
            batch.pitches[:total],
        )
        rows, f0, mel, loud, pitches = (padded(column, counts) for column in columns)
        mask = (torch.arange(f0.shape[1]) < torch.tensor(counts)[:, None])[..., None].float()

        state = head.frames.initial_state(len(counts))
        heard, _ = head.frames.intone(rows, state.pitch)
        made, _ = head.frames.paint(rows, f0, loud, styles, state.mel)
        voiced = ((f0 > LOWEST_HZ) * mask[..., 0]).float()
        height = torch.log2(f0.clamp_min(LOWEST_HZ) / pitches.clamp_min(0.1) / PITCH_REFERENCE_HZ)
        gates = functional.binary_cross_entropy_with_logits(heard[..., 1].float(), voiced, reduction="none")
        return {
            "pitch": ((heard[..., 0].float() - height).abs() * voiced).sum() / voiced.sum().clamp_min(1),
            "voicing": (gates * mask[..., 0]).sum() / mask.sum(),
            "mel": frame_difference(made, mel, mask),
        }

    def words_in_sentences(self, head: MelHead, batch: Batch) -> Tensor:
        """Loss of the words of sentences, with their neighbours and token states."""
        scores = head.pronouncer(batch.spelled, batch.capitals, batch.states)
        return pronunciation_loss(scores, batch.phones)

    def words_alone(self, head: MelHead, rng: random.Random) -> Tensor:
        """Loss of words from the lexicon, without a sentence."""
        entries = rng.choices(self.entries, k=self.plan.lexicon_batch)
        spelled = spelling([("", entry.word, "") for entry in entries])
        capitals = torch.tensor([int(entry.capital) for entry in entries])
        return pronunciation_loss(
            head.pronouncer(spelled, capitals, None), [entry.phones for entry in entries]
        )

    def step(self, number: int) -> dict[str, float]:
        """Take one step and give its losses."""
        plan = self.plan
        rng = runs.seed_step(plan.seed, number)
        batch = lay_out(draw(self.examples, plan.batch, plan.seed, number))
        dropped(batch, plan)
        with mixed(self.device.type):
            losses = self.losses(self.head, batch)
            if plan.lexicon_batch:
                losses["phones"] = self.words_in_sentences(self.head, batch)
                losses["lexicon"] = self.words_alone(self.head, rng)
        total = torch.stack([loss * WEIGHTS[name] for name, loss in losses.items()]).sum()
        runs.set_rate(self.optimizer, plan.rate * runs.cosine(number, plan.steps))
        self.optimizer.zero_grad()
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimizer.step()
        runs.follow(self.average, self.head, number)
        shown = {name: loss.item() for name, loss in losses.items()}
        return shown | self.check() if (number + 1) % CHECK_EVERY == 0 else shown

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Losses of the averaged net on sentences put aside, and the part of words with a wrong phone."""
        batch = lay_out(self.checks[:24])
        losses = {f"check_{name}": loss.item() for name, loss in self.losses(self.average, batch).items()}
        said = self.average.pronouncer.pronounce(batch.spelled, batch.capitals, batch.states)
        wrong = sum(a != b for a, b in zip(said, batch.phones, strict=True)) / len(said)
        return losses | {"check_wrong_words": wrong}


def padded(flat: Tensor, counts: list[int]) -> Tensor:
    """Stand sentences side by side, (frames, ...) to (B, T, ...), T a multiple of PADDED_FRAMES."""
    rows = pad_sequence(list(torch.split(flat, counts)), batch_first=True)
    more = -rows.shape[1] % PADDED_FRAMES
    return torch.cat([rows, rows.new_zeros(rows.shape[0], more, *rows.shape[2:])], dim=1)


def unit_energy(mel: Tensor, spans: Tensor) -> Tensor:
    """Mean log mel of every unit's frames, (units,)."""
    owner = torch.arange(len(spans)).repeat_interleave(spans)
    total = torch.zeros(len(spans)).index_add_(0, owner, mel.mean(dim=-1))
    return total / spans.clamp_min(1)


def dropped(batch: Batch, plan: MelHeadPlan) -> None:
    """Hide parts of the token states, in place."""
    for states in (batch.states, batch.next_states):
        states.copy_(functional.dropout(states, plan.state_dropout))
        states[torch.rand(len(states)) < plan.blind] = 0
