"""Puts the training of the turn head and of the judge of bursts together, on all else as it is shipped."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from rich.console import Console
from rich.progress import Progress, track
from safetensors.torch import load_file, save_file
from torch import nn

from assistant.errors import WeightsError
from assistant.model.adapters import merge
from assistant.model.chat import ChatFormat
from assistant.model.hearing import Hearing
from assistant.model.hearing_files import ADAPTER_FILE, ENCODER_FILE, load_adapter
from assistant.model.listening import quicken_hearing
from assistant.model.loading import load_backbone
from assistant.model.turn_head import TurnHead
from assistant.paths import WEIGHTS, cache_dir
from assistant.training.augment import Wear
from assistant.training.features import taught_manner
from assistant.training.heard_runs import Imagination, runs_of
from assistant.training.hearing_recipes import (
    BACKBONE,
    HEARD_WEAR,
    Language,
    heard_features,
    other_texts,
    row_reader,
    speech_batches,
)
from assistant.training.precision import working_dtype
from assistant.training.shipped_parts import shipped_hearing
from assistant.training.speech_data import CorpusAudio, Utterance, never_learned, read_corpus
from assistant.training.speech_makers import MAKERS, Use, speech_folder
from assistant.training.texts import for_choices, lines, spoken_form
from assistant.training.train_agreement import NOISES, AgreementRecipe, Bursts, hear_bursts, worn_bursts
from assistant.training.train_manner import through_codebooks
from assistant.training.train_turns import READ_AT_ONCE, Streams, TurnRecipe, read_sounds, sentences
from assistant.weights import store


def turn_recipe(language: Language, steps: int, imagined: int) -> TurnRecipe:
    """The turn head's training on the shipped transformer: sentences that were heard, and imagined ones."""
    hearing = shipped_hearing(language)
    count = f"{imagined} imagined, {len(heard_features(begun=True).records)} heard"
    what = _fingerprint(count, WEIGHTS / ADAPTER_FILE, hearing.listener.codebooks, hearing.manner)
    streams = cache_dir() / "turns" / f"{what}.safetensors"
    if not streams.exists():
        read = Streams.joined(list(_read_turns(language, hearing, imagined)))
        streams.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: getattr(read, name) for name in Streams.__slots__}, streams)
    return TurnRecipe(TurnHead(language.embedding.shape[1]), Streams(**load_file(streams)), steps)


def agreement_recipe(language: Language, steps: int) -> AgreementRecipe:
    """The training of the judge of bursts, on all phrases that have been spoken for it."""
    hearing, heard = shipped_hearing(language), []
    quicken_hearing(hearing)
    wear = speech_batches(language).wear
    wear.strength = HEARD_WEAR
    for seed, maker in enumerate(MAKERS):
        folder = speech_folder(maker + Use.BURSTS.value)
        records = [one for one in read_corpus(folder) if not never_learned(one.source, one.voice)]
        if records:
            heard.append(_heard_bursts(hearing, CorpusAudio(folder), records, wear, seed))
    if not heard:
        raise WeightsError("no bursts were spoken: run `vivavoce train speech-data hibari --bursts`")
    return AgreementRecipe(hearing, Bursts.joined(heard), steps)


def _heard_bursts(
    hearing: Hearing, audio: CorpusAudio, records: list[Utterance], wear: Wear, seed: int
) -> Bursts:
    """Bursts of one corpus, kept for the next time."""
    what = _fingerprint(f"{audio.folder.name} {len(records)}", hearing.listener.codebooks)
    kept = cache_dir() / "turns" / f"bursts-{what}.safetensors"
    if not kept.exists():
        found = hear_bursts(hearing, worn_bursts(audio, records, wear, seed))
        count = round(len(records) * (1 + NOISES))
        shown = track(found, audio.folder.name, count, console=Console(stderr=True))
        bursts = Bursts.of(list(shown))
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: getattr(bursts, name) for name in Bursts.__slots__}, kept)
    return Bursts(**load_file(kept))


def _fingerprint(count: str, *parts: nn.Module | Path) -> str:
    """A name for what was made of so much data with the shipped encoder and these nets and files."""
    what = hashlib.sha256(count.encode())
    for part in (WEIGHTS / ENCODER_FILE, *parts):
        if isinstance(part, Path):
            what.update(part.read_bytes())
        else:
            for value in part.state_dict().values():
                what.update(value.numpy().tobytes())
    return what.hexdigest()[:16]


def _read_turns(language: Language, hearing: Hearing, imagined: int) -> Iterator[Streams]:
    rng, rows = Random(8), row_reader(language)
    features, _ = through_codebooks(hearing.listener, heard_features(begun=True))
    backbone = load_backbone(store.path(*BACKBONE), working_dtype("cpu"))
    merge(backbone, load_adapter(WEIGHTS / ADAPTER_FILE))
    with torch.inference_mode():
        heard = [(one.text, runs_of(hearing, features, one)) for one in features.records]
    sounds = [replace(runs, manner=None) if taught_manner(text) else runs for text, runs in heard]
    imagination = Imagination(hearing)
    said = [line for line in lines(test=False) if not for_choices(line.source)]
    for text in sentences(said, other_texts(), imagined // 2, rng):
        found = rows(spoken_form(text, language.names))
        if found:
            sounds.append(imagination.runs(torch.tensor(found), rng))
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("sentences read", total=-(-len(sounds) // READ_AT_ONCE))
        for part in read_sounds(backbone, hearing, ChatFormat(language.tokenizer), sounds):
            progress.advance(task)
            yield part
