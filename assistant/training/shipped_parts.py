"""Writes hearing's weights from the last runs: all of them, or some beside all else as it is shipped."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from assistant.errors import UsageError
from assistant.model.codec_files import CODEC_FILE, save_codec
from assistant.model.hearing import Hearing
from assistant.model.hearing_files import (
    ADAPTER_FILE,
    CODEBOOKS_FILE,
    ENCODER_FILE,
    load_listener,
    load_parts,
    new_hearing,
    parts_behind,
    save_adapter,
    save_codes,
    save_encoder,
    start_from_shipped,
)
from assistant.model.manner import MannerConfig
from assistant.model.turn_head import TurnHead
from assistant.paths import RUNS, WEIGHTS
from assistant.training.codec_recipes import trained_codec
from assistant.training.hearing_recipes import (
    ENCODER_RUN,
    MANNER_RUN,
    OMNI_RUN,
    Language,
    codes_path,
    read_language,
    trained_adapter,
    trained_hearing,
    with_codebooks,
)
from assistant.training.local_manifests import HEARING, OMNI, write_manifest
from assistant.training.runs import load_module
from assistant.training.train_omni import OmniPace
from audiocodec.encoder import EncoderConfig

TURNS_RUN, AGREEMENT_RUN = "turns", "agreement"
Trust = tuple[float, float, float]  # of the turn head: in the words, in the sound; bias


def shipped_hearing(language: Language) -> Hearing:
    """Hearing as it is shipped."""
    listener = load_listener(WEIGHTS / ENCODER_FILE, language.embedding)
    hearing = Hearing(listener, language.embedding, MannerConfig())
    load_parts(WEIGHTS / CODEBOOKS_FILE, parts_behind(hearing))
    return hearing.eval()


def shipped_turn_head() -> TurnHead:
    """The turn head as it is shipped, a new one where none is: it is trained on a transformer that is."""
    turn_head = TurnHead(MannerConfig().model_width)
    if (WEIGHTS / CODEBOOKS_FILE).exists():
        load_parts(WEIGHTS / CODEBOOKS_FILE, {"turn_head": turn_head})
    return turn_head


def write_all(folder: Path = WEIGHTS) -> list[Path]:
    """Write everything from the last runs, but not the turn head and the judge of bursts: they are trained
    on what is shipped, so after it.
    """
    hearing = trained_hearing(read_language())
    if (WEIGHTS / CODEBOOKS_FILE).exists():
        load_parts(WEIGHTS / CODEBOOKS_FILE, {"agreement": hearing.agreement})
    save_encoder(folder / ENCODER_FILE, hearing.listener)
    save_codes(folder / CODEBOOKS_FILE, hearing, shipped_turn_head())
    save_adapter(folder / ADAPTER_FILE, trained_adapter(OmniPace()))
    save_codec(folder / CODEC_FILE, trained_codec())
    names = (ENCODER_FILE, CODEBOOKS_FILE, ADAPTER_FILE, CODEC_FILE)
    return [*(folder / name for name in names), *(write_manifest(folder, model) for model in (HEARING, OMNI))]


def write_joint(folder: Path = WEIGHTS) -> list[Path]:
    """Write what joint training learned: the adapter and the projections."""
    hearing = shipped_hearing(read_language())
    learned = nn.ModuleDict({"say_how": hearing.say_how, "trait_words": hearing.trait_words})
    load_module(RUNS / OMNI_RUN, "projections", learned)
    save_codes(folder / CODEBOOKS_FILE, hearing, shipped_turn_head())
    save_adapter(folder / ADAPTER_FILE, trained_adapter(OmniPace()))
    files = [folder / CODEBOOKS_FILE, folder / ADAPTER_FILE]
    return [*files, *(write_manifest(folder, model) for model in (HEARING, OMNI))]


def write_turn_head(folder: Path = WEIGHTS, trust: Trust | None = None) -> list[Path]:
    """Write the turn head of the last run; ``trust`` takes the place of what it learned of it."""
    hearing, turn_head = shipped_hearing(read_language()), TurnHead(MannerConfig().model_width)
    load_module(RUNS / TURNS_RUN, "turn_head", turn_head)
    if trust is not None:
        turn_head.weights.data.copy_(torch.tensor(trust))
    save_codes(folder / CODEBOOKS_FILE, hearing, turn_head)
    return [folder / CODEBOOKS_FILE, write_manifest(folder, HEARING)]


def write_agreement(folder: Path = WEIGHTS) -> list[Path]:
    """Write the judge of bursts of the last run."""
    hearing = shipped_hearing(read_language())
    load_module(RUNS / AGREEMENT_RUN, "agreement", hearing.agreement)
    save_codes(folder / CODEBOOKS_FILE, hearing, shipped_turn_head())
    return [folder / CODEBOOKS_FILE, write_manifest(folder, HEARING)]


def write_ear(folder: Path = WEIGHTS) -> list[Path]:
    """Write the encoder, the codebooks and the manner net of the last runs."""
    hearing = with_codebooks(read_language())
    load_module(RUNS / MANNER_RUN, "average", hearing.manner)
    # Nothing else is read from the shipped file, because its manner net may be of another shape.
    kept = ("agreement", "say_how", "trait_words")
    load_parts(WEIGHTS / CODEBOOKS_FILE, {name: getattr(hearing, name) for name in kept})
    save_encoder(folder / ENCODER_FILE, hearing.listener)
    save_codes(folder / CODEBOOKS_FILE, hearing, shipped_turn_head())
    return [folder / ENCODER_FILE, folder / CODEBOOKS_FILE, write_manifest(folder, HEARING)]


def write_blend(part: float, folder: Path = WEIGHTS) -> list[Path]:
    """Write the encoder that lies between the shipped one (0) and that of the last run (1).

    A net that went on from another and their mean lie in one valley of the loss, and the mean often does
    better than both on what neither learned. Source: Wortsman et al. 2022, Robust fine-tuning of zero-shot
    models.
    """
    _check_blend(part)
    hearing = new_hearing(EncoderConfig(), MannerConfig(), *read_language().space)
    start_from_shipped(WEIGHTS / ENCODER_FILE, hearing.listener)  # as the run did: it may have more layers
    for name, module in (("encoder", hearing.listener.encoder), ("reader", hearing.listener.reader)):
        _blend_with_run(module, ENCODER_RUN, name, part)
    save_encoder(folder / ENCODER_FILE, hearing.listener)
    return [folder / ENCODER_FILE, write_manifest(folder, HEARING)]


def write_manner_blend(part: float, folder: Path = WEIGHTS) -> list[Path]:
    """Write the manner net that lies between the shipped one (0) and that of the last run (1).

    The run must have begun there; several, each begun where the last one was blended in, give a mean of all.
    """
    _check_blend(part)
    hearing = shipped_hearing(read_language())
    _blend_with_run(hearing.manner, MANNER_RUN, "average", part)
    save_codes(folder / CODEBOOKS_FILE, hearing, shipped_turn_head())
    return [folder / CODEBOOKS_FILE, write_manifest(folder, HEARING)]


def _check_blend(part: float) -> None:
    if not 0 < part <= 1:
        raise UsageError(f"a blend of {part:g} is not possible: give a number above 0 and at most 1")


def _blend_with_run(module: nn.Module, run: str, name: str, part: float) -> None:
    """Move a net so far towards what a run made of it."""
    before = {key: value.clone() for key, value in module.state_dict().items()}
    load_module(RUNS / run, name, module)
    after = module.state_dict()
    floats = {key: value for key, value in after.items() if value.is_floating_point()}
    module.load_state_dict(after | {key: torch.lerp(before[key], v, part) for key, v in floats.items()})


def write_codebooks(folder: Path = WEIGHTS) -> list[Path]:
    """Write the codebooks that were fitted last."""
    hearing = shipped_hearing(read_language())
    hearing.listener.codebooks.load_state_dict(load_file(codes_path()))
    save_codes(folder / CODEBOOKS_FILE, hearing, shipped_turn_head())
    return [folder / CODEBOOKS_FILE, write_manifest(folder, HEARING)]


def write_codec(folder: Path = WEIGHTS) -> list[Path]:
    """Write the codec's nets of the last runs."""
    save_codec(folder / CODEC_FILE, trained_codec())
    return [folder / CODEC_FILE, write_manifest(folder, HEARING)]


WRITERS: dict[str, Callable[[], list[Path]]] = {
    "ear": write_ear,
    "codebooks": write_codebooks,
    "joint": write_joint,
    "turns": write_turn_head,
    "agreement": write_agreement,
    "codec": write_codec,
}


def write_parts(names: list[str], trust: Trust | None = None) -> list[Path]:
    """Write some parts beside all else as it is shipped, everything where none is named; ``trust`` is the
    turn head's.

    Raises:
        UsageError: a part is unknown, or the turn head is not among them; nothing has been written.
    """
    if unknown := sorted(set(names) - set(WRITERS)):
        raise UsageError(f"no part is called {', '.join(unknown)}: give some of {', '.join(WRITERS)}")
    if trust is not None:
        if names != ["turns"]:
            raise UsageError("trust is the turn head's: give it with --only turns alone")
        return write_turn_head(trust=trust)
    return [path for write in [WRITERS[name] for name in names] or [write_all] for path in write()]
