"""Writes some of hearing's parts anew, from the last runs, beside all else as it is shipped."""

from pathlib import Path

from safetensors.torch import load_file

from assistant.model.hearing import Hearing
from assistant.model.hearing_files import (
    CODEBOOKS_FILE,
    DECODER_FILE,
    ENCODER_FILE,
    load_listener,
    load_parts,
    save_codes,
    save_decoder,
    save_encoder,
)
from assistant.model.manner import MannerConfig
from assistant.model.turn_head import TurnHead
from assistant.paths import RUNS, WEIGHTS
from assistant.training.hearing_recipes import (
    MANNER_RUN,
    Language,
    codes_path,
    read_language,
    trained_decoder,
    with_codebooks,
)
from assistant.training.local_manifests import HEARING, write_manifest
from assistant.training.runs import load_module

TURNS_RUN = "turns"


def shipped_hearing(language: Language) -> Hearing:
    """Hearing as it is shipped."""
    listener = load_listener(WEIGHTS / ENCODER_FILE, language.embedding)
    hearing = Hearing(listener, language.embedding, MannerConfig())
    parts = {"codebooks": listener.codebooks, "manner": hearing.manner}
    load_parts(WEIGHTS / CODEBOOKS_FILE, parts | {"say_how": hearing.say_how, "sum_up": hearing.sum_up})
    return hearing.eval()


def shipped_turn_head() -> TurnHead:
    """The turn head as it is shipped."""
    turn_head = TurnHead(MannerConfig().model_width)
    load_parts(WEIGHTS / CODEBOOKS_FILE, {"turn_head": turn_head})
    return turn_head


def write_turn_head(folder: Path = WEIGHTS) -> list[Path]:
    """Write the turn head of the last run."""
    hearing, turn_head = shipped_hearing(read_language()), TurnHead(MannerConfig().model_width)
    load_module(RUNS / TURNS_RUN, "turn_head", turn_head)
    save_codes(folder / CODEBOOKS_FILE, hearing, turn_head)
    return [folder / CODEBOOKS_FILE, write_manifest(folder, HEARING)]


def write_ear(folder: Path = WEIGHTS) -> list[Path]:
    """Write the encoder, the codebooks and the manner net of the last runs."""
    language = read_language()
    hearing, shipped = with_codebooks(language), shipped_hearing(language)
    load_module(RUNS / MANNER_RUN, "manner", hearing.manner)
    for part in ("say_how", "sum_up"):
        getattr(hearing, part).load_state_dict(getattr(shipped, part).state_dict())
    save_encoder(folder / ENCODER_FILE, hearing.listener)
    save_codes(folder / CODEBOOKS_FILE, hearing, shipped_turn_head())
    return [folder / ENCODER_FILE, folder / CODEBOOKS_FILE, write_manifest(folder, HEARING)]


def write_codec(folder: Path = WEIGHTS) -> list[Path]:
    """Write the codebooks and the codec's decoder of the last run."""
    hearing = shipped_hearing(read_language())
    hearing.listener.codebooks.load_state_dict(load_file(codes_path()))
    save_codes(folder / CODEBOOKS_FILE, hearing, shipped_turn_head())
    save_decoder(folder / DECODER_FILE, trained_decoder())
    return [folder / CODEBOOKS_FILE, folder / DECODER_FILE, write_manifest(folder, HEARING)]
