"""The voice's training commands put together: data, nets, runs."""

import gzip
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from assistant.errors import DependencyError
from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.head import MelHead
from assistant.model.speaking.loading import load_voice, save_voice
from assistant.model.speaking.pronouncer import Pronouncer
from assistant.paths import RUNS, cache_dir
from assistant.training import runs, vocoder_data, voice_data
from assistant.training.exceptions import exceptions, said_in_sentences
from assistant.training.hidden_states import HiddenStates
from assistant.training.teacher import Teacher
from assistant.training.texts import lines
from assistant.training.train_finish import FinishPlan, FinishRecipe, lead
from assistant.training.train_mel_head import MelHeadPlan, MelHeadRecipe
from assistant.training.train_vocoder import Clips, VocoderPlan, VocoderRecipe
from assistant.training.voice_batches import lexicon, read_corpus
from assistant.training.voice_text import VOICE, TrainingText, sentences_put_aside
from assistant.weights import store
from audiocodec.vocoder import SourceFilterVocoder, VocoderConfig

MANIFEST = """name = "{name}"
title = "The assistant's voice: mel head and vocoder, half precision"
licence = "Apache-2.0"
origin = "trained by this project, see {name}.md"
role = "model"
needed = true

[[file]]
name = "{file}"
size = {size}
sha256 = "{sha256}"
source = [{{ kind = "local", path = "{file}" }}]
"""
HEAD_RUN, VOCODER_RUN = "mel-head", "vocoder"  # whose nets the finish begins with
FINISH_HOURS = 5.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What to train on."""

    threads: int = 1
    device: str = "cpu"

    def use(self) -> torch.device:
        """Set the number of threads and give the device."""
        torch.set_num_threads(self.threads)
        return torch.device(self.device)


def corpus(name: str) -> Path:
    """Folder of a corpus."""
    return cache_dir() / "voice" / name


def teacher_lexicon() -> dict[str, str | dict[str, str | None]]:
    """Misaki's American lexicon (Apache-2.0), as hibari carries it: spelling to phonemes, or to those of each
    part of speech.
    """
    words: dict[str, str | dict[str, str | None]] = {}
    try:
        assets = resources.files("hibari") / "assets"
    except ModuleNotFoundError as error:
        raise DependencyError("hibari is missing: install vivavoce[train]") from error
    for name in ("lexicon_us_silver.json.gz", "lexicon_us_gold.json.gz"):
        words |= json.loads(gzip.decompress((assets / name).read_bytes()))
    return words


def pronunciations() -> dict[str, str]:
    """Spelling to phonemes, for words of several the usual ones."""
    usual = {
        word: said if isinstance(said, str) else said.get("DEFAULT")
        for word, said in teacher_lexicon().items()
    }
    return {word: phonemes for word, phonemes in usual.items() if phonemes}


def rare_words() -> list[str]:
    """Plain words of the lexicon."""
    return sorted(
        word
        for word in pronunciations()
        if word.isascii() and word.isalpha() and word.islower() and 3 <= len(word) <= 14
    )


def write_test_list() -> None:
    """Write data/voice/test.txt."""
    (VOICE / "test.txt").write_text("\n".join(sentences_put_aside(rare_words())) + "\n", encoding="utf-8")


def make_data(hours: float, vocoder_hours: float, threads: int, seed: int) -> None:
    """Make the corpora; what is there already is kept, whatever its seed was."""
    head_seed, finish_seed = 2 * seed, 2 * seed + 1
    torch.set_num_threads(threads)
    model = store.path("smollm2-135m-instruct", "model.gguf")
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("speech for the vocoder", total=vocoder_hours)
        texts = [line.text for line in lines(test=False)]
        for done in vocoder_data.make_corpus(corpus("vocoder"), texts, vocoder_hours):
            progress.update(task, completed=done)
        task = progress.add_task("speech for the mel head", total=hours)
        maker = voice_data.VoiceMaker(HiddenStates(model, MelHeadConfig().layer))
        for done in voice_data.make_corpus(
            corpus("head"), maker, TrainingText(rare_words()), hours, head_seed
        ):
            progress.update(task, completed=done)
        task = progress.add_task("speech kept with its sound", total=FINISH_HOURS)
        maker.keep_sound = True
        for done in voice_data.make_corpus(
            corpus("finish"), maker, TrainingText(rare_words()), FINISH_HOURS, finish_seed
        ):
            progress.update(task, completed=done)


def train_mel_head(run: str, plan: MelHeadPlan, shipped: bool, machine: Machine) -> None:
    """Go on with a run of the mel head."""
    device = machine.use()
    examples = read_corpus(corpus("head"))
    head = load_voice()[0] if shipped else MelHead(MelHeadConfig())
    recipe = MelHeadRecipe(head, plan, examples, lexicon(pronunciations()), device)
    runs.train(RUNS / run, recipe, runs.Plan(plan.steps))


def train_vocoder(run: str, steps: int, adversarial_from: int, machine: Machine) -> None:
    """Go on with a run of the vocoder."""
    device = machine.use()
    clips = Clips.read(corpus("vocoder"))
    plan = VocoderPlan(steps=steps, adversarial_from=adversarial_from)
    recipe = VocoderRecipe(VocoderConfig(), plan, clips, device)
    runs.train(RUNS / run, recipe, runs.Plan(steps))


def first_voice(shipped: bool) -> tuple[MelHead, SourceFilterVocoder]:
    """What the finish begins with: the nets of the runs before it. ``shipped`` takes what no run trained from
    the shipped voice.
    """
    head, vocoder = (
        load_voice() if shipped else (MelHead(MelHeadConfig()), SourceFilterVocoder(VocoderConfig()))
    )
    nets: tuple[tuple[str, nn.Module], ...] = ((HEAD_RUN, head), (VOCODER_RUN, vocoder))
    for run, net in nets:
        if not shipped or (RUNS / run).exists():
            runs.load_module(RUNS / run, "average", net)
    return head, vocoder


def train_finish(run: str, plan: FinishPlan, shipped: bool, machine: Machine) -> None:
    """Go on with a run of the finish."""
    machine.use()
    head, vocoder = first_voice(shipped)
    frames = lead(head, read_corpus(corpus("finish")))
    recipe = FinishRecipe(head, vocoder, frames, Clips.read(corpus("vocoder")), plan)
    runs.train(RUNS / run, recipe, runs.Plan(plan.steps))


def made_exceptions(pronouncer: Pronouncer) -> dict[str, tuple[int, ...]]:
    """The words that a pronouncer is not left to guess, by the teacher's reading of the training sentences
    and by its lexicon.
    """
    teacher = Teacher()
    texts = [line.text for line in lines(test=False)]
    seen = said_in_sentences(texts, lambda sentence: " ".join(teacher.phonemes(sentence)))
    several = {word.lower() for word, said in teacher_lexicon().items() if not isinstance(said, str)}
    made = exceptions(lexicon(pronunciations()), seen, pronouncer)
    return {word: phones for word, phones in made.items() if word not in several}


@torch.no_grad()
def blend_in(net: nn.Module, before: nn.Module, part: float) -> None:
    """Move a net to ``part`` of the way from where it began; see ``shipped_parts.write_blend``."""
    for own, old in zip(net.parameters(), before.parameters(), strict=True):
        own.copy_(torch.lerp(old, own, part))


def write_weights(out: Path, run: str, shipped: bool, blend: float = 1.0) -> str:
    """Write the voice that a run of the finish ended with and say what is in it.

    ``shipped`` takes what the run did not train from the shipped voice: all, where there is no run. ``blend``
    is the part of the way from the shipped voice to the runs'.
    """
    head, vocoder = first_voice(shipped)
    steps = 0
    if not shipped or (RUNS / run).exists():
        runs.load_module(RUNS / run, "average_frames", head.frames)
        steps = runs.load_module(RUNS / run, "average_vocoder", vocoder)
    if blend < 1:
        for net, before in zip((head, vocoder), load_voice(), strict=True):
            blend_in(net, before, blend)
    head.pronouncer.exceptions = made_exceptions(head.pronouncer)
    save_voice(out, head, vocoder)
    sum_hex = hashlib.sha256(out.read_bytes()).hexdigest()
    about = MANIFEST.format(name=out.stem, file=out.name, size=out.stat().st_size, sha256=sum_hex)
    out.with_suffix(".toml").write_text(about, encoding="utf-8")
    sizes = [sum(p.numel() for p in net.parameters()) / 1e6 for net in (head, vocoder)]
    return f"{out}: mel head {sizes[0]:.2f} M parameters, vocoder {sizes[1]:.2f} M; finish of {steps} steps"
