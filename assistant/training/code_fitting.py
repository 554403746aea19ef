"""Fits the codec's codebooks to what the encoder heard."""

from typing import Literal

import torch
from safetensors.torch import save_file

from assistant.model.hearing_files import CODEBOOKS_FILE, load_parts
from assistant.paths import WEIGHTS
from assistant.training.features import FeatureSet
from assistant.training.hearing_recipes import codes_path, heard_features, read_language, trained_encoder
from audiocodec.listener import PITCH_WIDTH, Listener

FRAMES = 160_000  # codec frames that codebooks are fitted on
Book = Literal["names", "prosody"]
BOOKS: tuple[Book, ...] = ("names", "prosody")


def fit_codebooks(
    listener: Listener, features: FeatureSet, only: tuple[Book, ...] = BOOKS, seed: int = 0
) -> dict[str, list[float]]:
    """Fit codebooks on heard frames; gives the part of the variance left over after each."""
    generator, books = torch.Generator().manual_seed(seed), listener.codebooks
    chosen = torch.randperm(len(features.semantic), generator=generator)[:FRAMES]
    left = {}
    if "names" in only:
        left["names"] = [books.semantic.fit(features.semantic[chosen].float(), listener.reader)]
    if "prosody" in only:
        prosody = features.prosody[chosen]
        left["pitch"] = books.pitch.fit(prosody[:, :PITCH_WIDTH], generator)
        left["loudness"] = books.loudness.fit(prosody[:, PITCH_WIDTH:], generator)
    return left


def fit_and_keep(only: tuple[Book, ...] = BOOKS) -> dict[str, list[float]]:
    """Fit codebooks on all heard frames and keep them with the runs; those that are not fitted stay as they
    are shipped.
    """
    listener = trained_encoder(read_language()).listener
    if only != BOOKS:
        load_parts(WEIGHTS / CODEBOOKS_FILE, {"codebooks": listener.codebooks})
    left = fit_codebooks(listener, heard_features(), only)
    codes_path().parent.mkdir(parents=True, exist_ok=True)
    books = listener.codebooks.state_dict()
    save_file({name: value.contiguous() for name, value in books.items()}, codes_path())
    return left
