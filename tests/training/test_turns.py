"""The turn head's own training: where sentences break off, what the transformer reads, what is learned."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file

from assistant.model.backbone import Backbone
from assistant.model.chat import Message
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, Hearing
from assistant.model.hearing_files import CODEBOOKS_FILE
from assistant.model.manner import MannerConfig
from assistant.model.turn_head import TurnHead
from assistant.paths import WEIGHTS
from assistant.training import runs, turn_recipes
from assistant.training.local_manifests import HEARING
from assistant.training.omni_data import SYSTEMS
from assistant.training.texts import Line, lines
from assistant.training.train_omni import Runs
from assistant.training.train_turns import Streams, TurnRecipe, broken_off, read_sounds, sentences
from audiocodec.prosody import PROSODY_WIDTH
from tests.engine.test_omni import CONFIG
from tests.training.test_joint_training import CHAT, WIDTH, hearing  # noqa: F401  # a fixture


def test_nothing_is_broken_off_at_an_end() -> None:
    line = Line("Yes. I do. Then go on", "ask", "a")
    found = {broken_off(line, Random(seed)) for seed in range(60)}
    assert found == {"Yes. I", "Yes. I do. Then", "Yes. I do. Then go"}
    assert broken_off(Line("Yes.", "ask", "a"), Random(0)) is None
    paused = Line("I would like some tea.", "cutoff", "a", pauses=("I would like",))
    assert {broken_off(paused, Random(seed)) for seed in range(60)} > {"I would like", "I"}


def test_half_of_what_is_drawn_is_whole() -> None:
    drawn = list(sentences(lines(test=False), 600, Random(1)))
    whole = [text for text, finished in drawn if finished]
    assert 240 < len(whole) < 400
    assert set(whole) <= {line.text for line in lines(test=False)}
    assert drawn == list(sentences(lines(test=False), 600, Random(1)))


@torch.inference_mode()
def test_the_stream_is_that_behind_each_sound(hearing: Hearing) -> None:  # noqa: F811  # the fixture
    """Padding to the longest of a batch changes nothing."""
    torch.manual_seed(2)
    backbone = Backbone(CONFIG).eval()
    sounds = [replace(one, finished=bool(index % 2)) for index, one in enumerate(map(sound, (4, 1, 7)))]
    read = Streams.joined(list(read_sounds(backbone, hearing, CHAT, sounds)))
    assert read.stream.shape == (3, WIDTH)
    assert read.finished.tolist() == [1, 0, 0]  # the shortest first
    assert read.manner.isnan().tolist() == [True, True, True]
    system = Random(4).choice(SYSTEMS)
    before = [*(CHAT.turn(Message("system", system)) if system else ()), *CHAT.open("user"), AUDIO_OPEN]
    one = sounds[0]
    embeddings = torch.cat(
        [
            backbone.embedding(torch.tensor(before)),
            one.words + hearing.say_how(one.prosody),
            hearing.sum_up(one.whole)[None],
            backbone.embedding(torch.tensor([AUDIO_CLOSE])),
        ]
    )
    alone = backbone(embeddings[None], layer=CONFIG.layers).layer
    assert alone is not None
    torch.testing.assert_close(read.stream[1], alone[0, -1], atol=1e-4, rtol=1e-3)


def sound(count: int) -> Runs:
    return Runs(torch.randn(count, WIDTH), torch.zeros(count, PROSODY_WIDTH), torch.zeros(16))


def test_it_learns_words_and_how_far_to_trust_the_sound() -> None:
    generator = torch.Generator().manual_seed(0)
    finished = (torch.rand(800, generator=generator) > 0.5).float()
    stream = torch.randn(800, WIDTH, generator=generator)
    stream[:, 0] += 2 * (2 * finished - 1)
    manner = torch.randn(800, generator=generator) * 3  # says nothing
    manner[::2] = torch.nan
    recipe = TurnRecipe(TurnHead(WIDTH), Streams(stream, finished, manner), steps=300)
    shown = [recipe.step(number) for number in range(300)]
    assert shown[-1]["words"] < 0.5 * shown[0]["words"]
    weights = recipe.head.weights.tolist()
    assert weights[0] > 0.5
    assert abs(weights[1]) < 0.3
    first, again = (TurnRecipe(TurnHead(WIDTH), recipe.streams, 300) for _ in range(2))
    again.head.load_state_dict(first.head.state_dict())
    assert first.step(7) == again.step(7)


def test_a_set_without_sound_teaches_the_words_alone() -> None:
    streams = Streams(torch.randn(40, WIDTH), torch.ones(40), torch.full((40,), torch.nan))
    recipe = TurnRecipe(TurnHead(WIDTH), streams, steps=4)
    assert recipe.step(0)["joined"] == 0


@pytest.mark.weights
def test_nothing_but_the_turn_head_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_recipes, "RUNS", tmp_path / "runs")
    width = MannerConfig().model_width
    streams = Streams(torch.randn(8, width), torch.ones(8), torch.full((8,), torch.nan))
    recipe = TurnRecipe(TurnHead(width), streams, steps=1)
    runs.train(tmp_path / "runs" / turn_recipes.TURNS_RUN, recipe, runs.Plan(1))
    for name in set(HEARING.files) - {CODEBOOKS_FILE}:
        (tmp_path / name).symlink_to(WEIGHTS / name)
    turn_recipes.write_turn_head(tmp_path)
    shipped, made = load_file(WEIGHTS / CODEBOOKS_FILE), load_file(tmp_path / CODEBOOKS_FILE)
    changed = {name for name, value in made.items() if not torch.equal(value, shipped[name])}
    assert made.keys() == shipped.keys()
    assert changed
    assert all(name.startswith("turn_head.") for name in changed)
    assert (tmp_path / f"{HEARING.name}.toml").exists()
