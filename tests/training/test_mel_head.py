"""The mel head's recipe on a made-up corpus: layout, losses that fall, and that a resumed run is the same."""

import numpy as np
import pytest
import torch

from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.head import MelHead
from assistant.model.speaking.units import (
    BOUNDARIES,
    START,
    UNITS,
    split_phones,
    spoken,
    stresses,
    unit_ids,
)
from assistant.training import runs
from assistant.training.train_mel_head import MelHeadPlan, MelHeadRecipe, unit_energy
from assistant.training.voice_batches import Example, draw, lay_out, lexicon
from audiocodec.numbers import N_MELS

TINY = MelHeadConfig(
    model_width=8,
    width=16,
    hidden=16,
    letter_layers=1,
    unit_layers=1,
    pitch_layers=1,
    pitch_width=8,
    decoder_layers=1,
    decoder_hidden=16,
    kernel=5,
)
SAID = {"hello": "həlˈO", "world": "wˈɜɹld", "box": "bˈɑks", "Anna": "ˈænə", "good": "ɡˈʊd"}


def example(words: list[str], seed: int) -> Example:
    """Make a sentence of known words with random sound."""
    rng, ids = np.random.default_rng(seed), unit_ids()
    units, counts = [ids[START]], []
    for index, word in enumerate(words):
        own = spoken([ids[phone] for phone in split_phones(SAID[word]) or ()], stresses())
        units += [*own, ids["." if index + 1 == len(words) else " "]]
        counts.append(len(own) + 1)
    spans = rng.integers(2, 9, len(units)).astype(np.int16)
    frames = int(spans.sum())
    return Example(
        words=tuple(word.lower() for word in words),
        capitals=tuple(word[0].isupper() for word in words),
        counts=tuple(counts),
        style=seed % 5,
        pitch=1.0,
        rate=1.0,
        units=np.asarray(units, np.int16),
        spans=spans,
        f0=rng.choice([0.0, 180.0, 220.0], frames).astype(np.float16),
        mel=rng.normal(-5, 2, (frames, N_MELS)).astype(np.float16),
        hidden=rng.normal(size=(len(words), TINY.state_width)).astype(np.float16),
    )


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    names = list(SAID)
    return [example([names[(i * j + i) % len(names)] for j in range(1 + i % 4)], i) for i in range(12)]


def recipe(examples: list[Example]) -> MelHeadRecipe:
    plan = MelHeadPlan(steps=50, batch=3, frame_batch=2, lexicon_batch=4, rate=1e-2)
    torch.manual_seed(plan.seed)
    return MelHeadRecipe(MelHead(TINY), plan, examples, lexicon(SAID), torch.device("cpu"))


def test_layout_keeps_words_and_frames(examples: list[Example]) -> None:
    batch = lay_out(examples[:3])
    assert len(batch.phones) == sum(batch.words_per_sentence) == len(batch.states)
    assert int(batch.spans.sum()) == sum(batch.frames_per_sentence) == len(batch.mel)
    own = batch.window.units[batch.window.segments == 2]
    assert own.tolist() == [int(unit) for one in examples[:3] for unit in one.units]
    assert "".join(UNITS[phone] for phone in batch.phones[0]) == SAID[examples[0].words[0]]


def test_draw_depends_on_the_step_only(examples: list[Example]) -> None:
    assert [id(one) for one in draw(examples, 3, 0, 5)] == [id(one) for one in draw(examples, 3, 0, 5)]


def test_energy_is_the_mean_over_a_unit() -> None:
    mel = torch.tensor([[1.0, 3.0], [5.0, 7.0], [0.0, 0.0]])
    assert unit_energy(mel, torch.tensor([2, 1])).tolist() == [4.0, 0.0]


def test_losses_fall(examples: list[Example]) -> None:
    trained = recipe(examples)
    losses = [trained.step(number) for number in range(40)]
    for name in ("phones", "spans", "mel"):
        first, last = (np.mean([row[name] for row in part]) for part in (losses[:5], losses[-5:]))
        assert last < first


def test_resumed_head_has_the_same_loss(
    examples: list[Example], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    whole, first = recipe(examples), recipe(examples)
    losses = [whole.step(number) for number in range(3)]
    for number in range(2):
        first.step(number)
    runs.save(folder, first, 2, {})
    second = recipe(examples)
    assert runs.restore(folder, second) == 2
    assert second.step(2) == losses[2]


def test_lexicon_leaves_out_what_it_cannot_write() -> None:
    entries = lexicon({"cat": "kˈæt", "naïve": "nIˈiv", "x": "ʘ", "B": "bˈi"})
    assert [(entry.word, entry.capital) for entry in entries] == [("cat", False), ("B", True)]


def test_units_are_distinct() -> None:
    assert len(set(UNITS)) == len(UNITS)
    assert split_phones("həlˈO") == ["h", "ə", "l", "ˈO"]
    assert split_phones("ʘ") is None
    assert all(mark in UNITS for mark in BOUNDARIES)


def test_a_stress_is_a_unit_before_its_vowel() -> None:
    ids = unit_ids()
    phones = [ids[phone] for phone in split_phones("həlˈO") or ()]
    assert [UNITS[unit] for unit in spoken(phones, stresses())] == ["h", "ə", "l", "ˈ", "ˈO"]
