"""Some parts of hearing are written anew; all else stays, to the last bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from assistant.errors import UsageError
from assistant.model.codec_files import CODEC_FILE, read_codec
from assistant.model.hearing import Hearing
from assistant.model.hearing_files import (
    ADAPTER_FILE,
    CODEBOOKS_FILE,
    ENCODER_FILE,
    load_adapter,
    save_encoder,
)
from assistant.model.manner import MannerConfig
from assistant.model.turn_head import TurnHead
from assistant.paths import WEIGHTS
from assistant.training import codec_recipes, hearing_recipes, runs, shipped_parts
from assistant.training.hearing_recipes import Language, read_language
from assistant.training.local_manifests import HEARING
from assistant.training.train_codec import CodecNets
from assistant.training.train_turns import Streams, TurnRecipe

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def language() -> Language:
    """The transformer's words, which take seconds to read: once for all tests."""
    return read_language()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: Language) -> Path:
    """Hearing as it is shipped, and runs that are not the project's."""
    monkeypatch.setattr(shipped_parts, "read_language", lambda: language)
    for module in (shipped_parts, hearing_recipes, codec_recipes):
        monkeypatch.setattr(module, "RUNS", tmp_path / "runs")
    for name in HEARING.files:
        (tmp_path / name).write_bytes((WEIGHTS / name).read_bytes())
    return tmp_path


def changed(folder: Path, name: str) -> set[str]:
    """Names of the tensors that are not those shipped."""
    shipped, made = load_file(WEIGHTS / name), load_file(folder / name)
    assert made.keys() == shipped.keys()
    return {key for key, value in made.items() if not torch.equal(value, shipped[key])}


def test_nothing_but_the_turn_head_is_written(folder: Path) -> None:
    width = MannerConfig().model_width
    streams = Streams(torch.randn(8, width), torch.arange(8), torch.ones(8), torch.full((8,), torch.nan))
    recipe = TurnRecipe(TurnHead(width), streams, steps=1)
    runs.train(folder / "runs" / shipped_parts.TURNS_RUN, recipe, runs.Plan(1))
    shipped_parts.write_turn_head(folder)
    names = changed(folder, CODEBOOKS_FILE)
    assert names
    assert all(name.startswith("turn_head.") for name in names)
    assert (folder / f"{HEARING.name}.toml").exists()


def test_nothing_but_the_codec_is_written(folder: Path) -> None:
    parts = read_codec(WEIGHTS / CODEC_FILE)
    torch.nn.init.constant_(parts.coder.leave.bias, 2.0)
    nets = CodecNets(parts.coder, parts.colour, parts.decoder)
    runs.train(folder / "runs" / codec_recipes.CODEC_RUN, Made(average=nets), runs.Plan(1))
    shipped_parts.write_codec(folder)
    assert changed(folder, CODEC_FILE) == {"coder.leave.bias"}  # the vocoder as it was: none was trained
    torch.nn.init.constant_(parts.vocoder.leave.bias, 2.0)
    runs.train(folder / "runs" / codec_recipes.VOCODER_RUN, Made(average=parts.vocoder), runs.Plan(1))
    shipped_parts.write_codec(folder)
    assert changed(folder, CODEC_FILE) == {"coder.leave.bias", "vocoder.leave.bias"}
    assert not changed(folder, CODEBOOKS_FILE)


def test_nothing_but_the_codebooks_is_written(folder: Path, language: Language) -> None:
    books = shipped_parts.shipped_hearing(language).listener.codebooks.state_dict()
    hearing_recipes.codes_path().parent.mkdir(parents=True)
    save_file(books | {"semantic.along": books["semantic.along"] + 0.5}, hearing_recipes.codes_path())
    shipped_parts.write_codebooks(folder)
    assert changed(folder, CODEBOOKS_FILE) == {"codebooks.semantic.along"}
    assert not changed(folder, CODEC_FILE)


def test_an_unknown_part_is_an_error_before_anything_is_written() -> None:
    with pytest.raises(UsageError, match="no part is called ears"):
        shipped_parts.write_parts(["turns", "ears"])


class Made:
    """A run that made these nets."""

    def __init__(self, **nets: torch.nn.Module) -> None:
        self.nets = nets

    def modules(self) -> dict[str, torch.nn.Module]:
        return self.nets

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {}

    def step(self, number: int) -> dict[str, float]:
        return {}


def test_nothing_but_the_judge_of_bursts_is_written(folder: Path, language: Language) -> None:
    agreement = shipped_parts.shipped_hearing(language).agreement
    torch.nn.init.constant_(agreement.leave.bias, 3.0)
    runs.train(folder / "runs" / shipped_parts.AGREEMENT_RUN, Made(agreement=agreement), runs.Plan(1))
    shipped_parts.write_agreement(folder)
    assert changed(folder, CODEBOOKS_FILE) == {"agreement.leave.bias"}
    assert not changed(folder, ENCODER_FILE)


def test_a_new_ear_keeps_the_judges_that_are_trained_after_it(
    folder: Path, language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stay as they are shipped, though the runs' hearing comes with an untrained judge of bursts."""
    shipped = shipped_parts.shipped_hearing(language)
    made = Hearing(shipped.listener, language.embedding, MannerConfig())
    monkeypatch.setattr(shipped_parts, "trained_hearing", lambda _: made)
    monkeypatch.setattr(shipped_parts, "trained_adapter", lambda _: load_adapter(WEIGHTS / ADAPTER_FILE))
    monkeypatch.setattr(shipped_parts, "trained_codec", lambda: read_codec(WEIGHTS / CODEC_FILE))
    shipped_parts.write_all(folder)
    names = changed(folder, CODEBOOKS_FILE)
    assert any(name.startswith("manner.") for name in names)
    assert not any(name.startswith(("agreement.", "turn_head.")) for name in names)


def test_nothing_but_the_ear_is_written(folder: Path, language: Language) -> None:
    shipped = shipped_parts.shipped_hearing(language)
    torch.nn.init.constant_(shipped.manner.finished.bias, 3.0)
    runs.train(folder / "runs" / hearing_recipes.MANNER_RUN, Made(average=shipped.manner), runs.Plan(1))
    hearing_recipes.codes_path().parent.mkdir(parents=True)
    torch.nn.init.constant_(shipped.listener.reader.blank_bias, 4.0)
    save_encoder(hearing_recipes.snapshot_path(), shipped.listener)
    shipped.listener.codebooks.semantic.along += 0.5
    books = {name: value.clone() for name, value in shipped.listener.codebooks.state_dict().items()}
    save_file(books, hearing_recipes.codes_path())
    shipped_parts.write_ear(folder)
    assert changed(folder, ENCODER_FILE) == {"reader.blank_bias"}
    assert changed(folder, CODEBOOKS_FILE) == {"codebooks.semantic.along", "manner.finished.bias"}
    assert not changed(folder, CODEC_FILE)


def test_a_blend_lies_between_the_shipped_encoder_and_the_last_runs(folder: Path, language: Language) -> None:
    listener = shipped_parts.shipped_hearing(language).listener
    before = listener.encoder.positions.clone()
    with torch.no_grad():
        listener.encoder.positions += 1.0
    nets = Made(encoder=listener.encoder, reader=listener.reader)
    runs.train(folder / "runs" / hearing_recipes.ENCODER_RUN, nets, runs.Plan(1))
    shipped_parts.write_blend(0.25, folder)
    assert changed(folder, ENCODER_FILE) == {"encoder.positions"}
    made = load_file(folder / ENCODER_FILE)["encoder.positions"]
    torch.testing.assert_close(made.float(), before + 0.25, atol=2e-3, rtol=0)
    with pytest.raises(UsageError, match="above 0"):
        shipped_parts.write_blend(1.5, folder)


def test_trust_that_was_chosen_takes_the_place_of_what_was_learned(folder: Path) -> None:
    width = MannerConfig().model_width
    streams = Streams(torch.randn(8, width), torch.arange(8), torch.ones(8), torch.full((8,), torch.nan))
    runs.train(
        folder / "runs" / shipped_parts.TURNS_RUN, TurnRecipe(TurnHead(width), streams, steps=1), runs.Plan(1)
    )
    shipped_parts.write_turn_head(folder, (0.5, 0.75, -1.0))
    assert load_file(folder / CODEBOOKS_FILE)["turn_head.weights"].tolist() == [0.5, 0.75, -1.0]
    with pytest.raises(UsageError, match="--only turns"):
        shipped_parts.write_parts(["joint"], (0.5, 0.75, -1.0))


def test_a_blend_of_manner_lies_between_the_shipped_net_and_the_last_runs(
    folder: Path, language: Language
) -> None:
    shipped = shipped_parts.shipped_hearing(language).manner
    moved = shipped_parts.shipped_hearing(language).manner
    with torch.no_grad():
        moved.finished.bias += 8
    runs.train(folder / "runs" / hearing_recipes.MANNER_RUN, Made(average=moved), runs.Plan(1))
    shipped_parts.write_manner_blend(0.25, folder)
    assert changed(folder, CODEBOOKS_FILE) == {"manner.finished.bias"}
    written = load_file(folder / CODEBOOKS_FILE)["manner.finished.bias"].float()
    torch.testing.assert_close(written, shipped.finished.bias.detach() + 2, atol=0.02, rtol=0.01)
    with pytest.raises(UsageError, match="blend of 0 "):
        shipped_parts.write_manner_blend(0, folder)
