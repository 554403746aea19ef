"""On which sentences the tables are made: those put aside, or those on which settings are chosen."""

from pathlib import Path

import numpy as np
import pytest

from assistant.bench import hearing_sets
from assistant.bench.hearing_sets import asked_of
from assistant.bench.understanding import questions
from assistant.errors import WeightsError
from assistant.training.speech_data import write_shard
from assistant.training.texts import Line, for_choices, lines
from assistant.training.voices import Spoken


def speak(folder: Path, said: list[Line]) -> None:
    folder.mkdir()
    sound = np.sin(np.arange(2_400, dtype=np.float32) / 9)
    write_shard(
        folder, 0, [(line, line.text, Spoken(sound, "somebody", (2_400,), 1.0, 150.0)) for line in said]
    )


@pytest.fixture
def spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hearing_sets, "speech_folder", lambda maker: tmp_path / maker)
    return tmp_path


def asks(test: bool) -> list[Line]:
    return [line for line in lines(test) if line.kind == "ask" and line.turn == 0]


def test_settings_are_chosen_on_other_sentences_than_the_tables_are_made_on(spoken: Path) -> None:
    learned, choices = (
        [line for line in asks(test=False) if for_choices(line.source) == kept][:3] for kept in (False, True)
    )
    speak(spoken / "kokoro-choices", [*learned, *choices])
    for maker in ("kokoro", "piper"):
        speak(spoken / f"{maker}-held-out", asks(test=True)[:5])
    chosen, tested = asked_of(5, choices=True), asked_of(5, choices=False)
    assert {clip.text for clip in chosen} == {line.text for line in choices}
    assert len(tested) == 5
    assert not {clip.text for clip in chosen} & {clip.text for clip in tested}
    assert len(questions(chosen)) == len(choices)
    assert len(questions(tested)) == 5


def test_what_is_missing_is_named_with_the_command_that_makes_it(spoken: Path) -> None:
    with pytest.raises(WeightsError, match="speech-data kokoro --choices"):
        asked_of(5, choices=True)
    speak(spoken / "hibari", [line for line in asks(test=False) if for_choices(line.source)][:2])
    with pytest.raises(WeightsError, match="speech-data kokoro --choices"):
        asked_of(5, choices=True)
    with pytest.raises(WeightsError, match="kokoro --held-out"):
        asked_of(5, choices=False)
