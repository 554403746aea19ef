"""Puts the turn head's training together: it alone is learned, on everything else as it is shipped."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import torch
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import load_file, save_file

from assistant.model.adapters import merge
from assistant.model.chat import ChatFormat
from assistant.model.hearing_files import (
    ADAPTER_FILE,
    ENCODER_FILE,
    load_adapter,
)
from assistant.model.loading import load_backbone
from assistant.model.turn_head import TurnHead
from assistant.paths import WEIGHTS, cache_dir
from assistant.training.heard_runs import Imagination, runs_of
from assistant.training.hearing_recipes import BACKBONE, Language, heard_features, row_reader
from assistant.training.precision import working_dtype
from assistant.training.shipped_parts import shipped_hearing
from assistant.training.texts import for_choices, lines, spoken_form
from assistant.training.train_manner import through_codebooks
from assistant.training.train_turns import Streams, TurnRecipe, read_sounds, sentences
from assistant.weights import store


def turn_recipe(language: Language, steps: int, imagined: int) -> TurnRecipe:
    """The turn head's training on the shipped transformer: sentences that were heard, and imagined ones."""
    what = hashlib.sha256(f"{imagined} {len(heard_features().for_turns().records)}".encode())
    for name in (ADAPTER_FILE, ENCODER_FILE):
        what.update((WEIGHTS / name).read_bytes())
    streams = cache_dir() / "turns" / f"{what.hexdigest()[:16]}.safetensors"
    if not streams.exists():
        read = Streams.joined(list(_read_turns(language, imagined)))
        streams.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: getattr(read, name) for name in Streams.__slots__}, streams)
    return TurnRecipe(TurnHead(language.embedding.shape[1]), Streams(**load_file(streams)), steps)


def _read_turns(language: Language, imagined: int) -> Iterator[Streams]:
    hearing, rng, rows = shipped_hearing(language), Random(8), row_reader(language)
    features, _ = through_codebooks(hearing.listener, heard_features().for_turns())
    backbone = load_backbone(store.path(*BACKBONE), working_dtype("cpu"))
    merge(backbone, load_adapter(WEIGHTS / ADAPTER_FILE))
    with torch.inference_mode():
        sounds = [runs_of(hearing, features, record) for record in features.records]
    imagination = Imagination(hearing)
    learned = [line for line in lines(test=False) if not for_choices(line.source)]
    for text, finished in sentences(learned, imagined, rng):
        found = rows(spoken_form(text, language.names))
        if found:
            sounds.append(replace(imagination.runs(torch.tensor(found), rng), finished=finished))
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("sentences read", total=len(sounds))
        for part in read_sounds(backbone, hearing, ChatFormat(language.tokenizer), sounds):
            progress.advance(task, len(part.finished))
            yield part
