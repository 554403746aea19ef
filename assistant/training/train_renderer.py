"""Recipe of the small net in place of Kokoro's generator: its sound against Kokoro's, at several resolutions.

What is learned from is speech that Kokoro has made before: the words, the voice and the pace of every record
give the same frames again. Kept are ``CORPUS-NNNN.safetensors`` of a hundred utterances each, see ``Kept``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from assistant.errors import WeightsError
from assistant.training import runs
from assistant.training.renderer import FRAME_LENGTH, TIMBRE_WIDTH, Renderer, Trunk
from assistant.training.speech_data import CorpusAudio, Utterance, read_corpus
from assistant.training.train_vocoder import SpectralLoss
from assistant.training.voices import Audio, Kokoro
from audiocodec.vocoder import SourceFilterVocoder

SHARD_UTTERANCES = 100
SPEECH_LEVEL = 0.1  # root mean square of what is taught: the records have a common peak instead
CLIP_FRAMES, CONTEXT_FRAMES = 64, 12  # of a clip, and of its beginning that is not judged
MIXED = re.compile(r"(\w+)\*(-?[\d.]+)\+(\w+)")


@dataclass(frozen=True, slots=True)
class Kept:
    """Utterances one after the other, at 80 frames a second."""

    frames: Tensor  # (N, FRAME_WIDTH) float16
    f0_hz: Tensor  # (N,)
    pcm: Tensor  # (N * FRAME_LENGTH,) int16
    timbre: Tensor  # (utterances, TIMBRE_WIDTH)
    lengths: Tensor  # (utterances,) in frames


def style_of(voice: str, styles: Mapping[str, Audio]) -> Audio | None:
    """The style rows of a record's voice, mixed as its name says; nothing where it is not to be learned."""
    if mixed := MIXED.fullmatch(voice):
        first, share, second = mixed[1], float(mixed[2]), mixed[3]
        if first not in styles or second not in styles:
            return None
        return (share * styles[first] + (1 - share) * styles[second]).astype(np.float32)
    return styles.get(voice)


def keep_frames(folder: Path, corpora: list[Path], kokoro: Kokoro, trunk: Trunk) -> Iterator[float]:
    """Make the frames of some corpora's utterances again; yields the part that is done, shard by shard."""
    folder.mkdir(parents=True, exist_ok=True)
    records = {corpus: read_corpus(corpus) for corpus in corpora}
    total, done = sum(map(len, records.values())), 0
    for corpus, own in records.items():
        audio = CorpusAudio(corpus)
        for number, start in enumerate(range(0, len(own), SHARD_UTTERANCES)):
            path = folder / f"{corpus.name}-{number:04d}.safetensors"
            part = own[start : start + SHARD_UTTERANCES]
            if not path.exists():
                again = [_again(kokoro, trunk, record, audio(record)) for record in part]
                if found := [one for one in again if one is not None]:
                    save_file(_joined(found), path)
            done += len(part)
            yield done / total


def _again(kokoro: Kokoro, trunk: Trunk, record: Utterance, pcm: np.ndarray) -> dict[str, Tensor] | None:
    """The frames of an utterance beside its sound; nothing where they are not what it was made of."""
    style = style_of(record.voice, kokoro.styles)
    if style is None:
        return None
    phonemes = kokoro.phonemes(record.text, record.voice.startswith("b"), kokoro.vocabulary)
    tokens = [kokoro.vocabulary[phoneme] for phoneme in phonemes]
    row = style[len(tokens) - 1]
    frames, pitch, _ = trunk(tokens, row, record.rate)
    if len(frames) * FRAME_LENGTH != len(pcm):
        return None
    sound = torch.from_numpy(pcm.astype(np.float32))
    loud = sound.view(-1, FRAME_LENGTH).square().mean(dim=1)
    level = float(loud[loud > 0.01 * loud.max()].mean().sqrt())
    return {
        "frames": torch.from_numpy(frames).half(),
        "f0": torch.from_numpy(pitch.astype(np.float32)),
        "pcm": (sound * (SPEECH_LEVEL * 32_767 / level)).clamp(-32_767, 32_767).round().short(),
        "timbre": torch.from_numpy(row[None, :TIMBRE_WIDTH].copy()),
        "lengths": torch.tensor([len(frames)]),
    }


def _joined(found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([one[name] for one in found]) for name in found[0]}


def read_kept(folder: Path) -> Kept:
    """Read what ``keep_frames`` has written."""
    shards = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    if not shards:
        raise WeightsError(
            f"no frames in {folder}: make speech with `vivavoce train speech-data kokoro` first"
        )
    all_of = _joined(shards)
    return Kept(all_of["frames"], all_of["f0"], all_of["pcm"], all_of["timbre"], all_of["lengths"])


@dataclass(frozen=True, slots=True)
class RendererPlan:
    """Settings of the recipe."""

    steps: int = 1_500
    batch: int = 12
    rate: float = 1e-3
    seed: int = 0


class RendererRecipe:
    """Trains the small net; see ``runs.train``."""

    def __init__(self, start: SourceFilterVocoder, plan: RendererPlan, kept: Kept) -> None:
        """``start`` is a vocoder whose inner layers the net begins with."""
        torch.manual_seed(plan.seed)
        self.plan, self.kept = plan, kept
        self.renderer = Renderer(start.config)
        for name in ("stack", "norm", "leave"):
            getattr(self.renderer, name).load_state_dict(getattr(start, name).state_dict())
        self.loss = SpectralLoss()
        self.optimizer = AdamW(self.renderer.parameters(), plan.rate, betas=(0.8, 0.99), weight_decay=0.01)
        self.starts = torch.cumsum(kept.lengths, dim=0) - kept.lengths
        self.long = torch.nonzero(kept.lengths >= CLIP_FRAMES).ravel().tolist()

    def modules(self) -> Mapping[str, nn.Module]:
        """Nets to be kept."""
        return {"renderer": self.renderer}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Optimisers to be kept."""
        return {"renderer": self.optimizer}

    def step(self, number: int) -> dict[str, float]:
        """Take one step and give its losses."""
        plan = self.plan
        rng = runs.seed_step(plan.seed, number)
        frames, timbre, f0_hz, real = self.draw(rng)
        made = self.renderer(frames, timbre, f0_hz, rng.getrandbits(30))
        before = CONTEXT_FRAMES * FRAME_LENGTH
        loss = self.loss(made[:, before:], real[:, before:])
        runs.set_rate(self.optimizer, plan.rate * runs.cosine(number, plan.steps, warm_up=50))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.renderer.parameters(), 1.0)
        self.optimizer.step()
        return {"spectra": loss.item()}

    def draw(self, rng: Random) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cut clips: frames, timbre, pitch and real sound."""
        kept, cut = self.kept, []
        for one in rng.choices(self.long, k=self.plan.batch):
            first = int(self.starts[one]) + rng.randrange(int(kept.lengths[one]) - CLIP_FRAMES + 1)
            here = slice(first, first + CLIP_FRAMES)
            samples = slice(first * FRAME_LENGTH, (first + CLIP_FRAMES) * FRAME_LENGTH)
            cut.append((kept.frames[here], kept.timbre[one], kept.f0_hz[here], kept.pcm[samples]))
        frames, timbre, f0_hz, pcm = (torch.stack(part) for part in zip(*cut, strict=True))
        return frames.float(), timbre, f0_hz, pcm.float() / 32_768
