"""Ends of turns: beginnings spoken as such, ends that sound alike, and the bench that follows them."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from assistant.bench.ends import End, Listened, ends, taken, wait_figures
from assistant.bench.hearing_sets import Clip
from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat
from assistant.model.checkpoint import make_decoder
from assistant.model.hearing import HeardBlock
from assistant.model.transcribe import Transcriber
from assistant.model.turn_head import TurnHead
from assistant.session.turn import TurnPolicy
from assistant.training.augment import Wear
from assistant.training.features import TAIL_DB, closed, evenly, faded_out, prepare
from assistant.training.speech_data import make_corpus, read_corpus, write_shard
from assistant.training.texts import BEGUN, Line, begun, lines
from assistant.training.voices import Spoken
from tests.engine.tiny_omni import CONFIG, Ears, EarState, byte_tokenizer

RATE = 24_000
TIME = np.arange(RATE) / RATE
VOICED = np.asarray(sum(np.sin(2 * np.pi * 150 * n * TIME) / n for n in range(1, 12)) * 0.2, np.float32)


class QuietRoom(Ears):
    """Hears nothing in a room's noise, and finds everything finished or nothing."""

    def __init__(self, finished: float) -> None:
        self.finished = finished

    def step(self, state: EarState, pcm: torch.Tensor) -> tuple[HeardBlock, EarState]:
        block, state = super().step(state, torch.where(pcm.abs() > 0.01, pcm, 0))
        return replace(block, finished=self.finished), state


def record(folder: Path, line: Line, ends_at: tuple[int, ...] = (RATE // 3, 2 * RATE // 3, RATE)):
    folder.mkdir(exist_ok=True)
    write_shard(folder, 0, [(line, line.text, Spoken(VOICED, "somebody", ends_at, 1.0, 150.0))])
    return read_corpus(folder)[0]


def test_beginnings_are_no_whole_sentences_and_keep_how_they_are_left() -> None:
    learned = lines(test=False)
    draw, whole = begun(learned), {line.text for line in learned}
    drawn = [draw(Random(seed)) for seed in range(60)]
    assert {line.kind for line in drawn} == {BEGUN}
    assert not {line.text for line in drawn} & whole
    assert {line.text[-1] for line in drawn} > {",", "."}
    assert all(line.source for line in drawn)


def test_a_voice_is_given_a_beginning_as_it_was_left(tmp_path: Path) -> None:
    class Voice:
        def speak(self, text: str, rng: np.random.Generator) -> Spoken:
            return Spoken(VOICED, "somebody", (RATE,), 1.0, 150.0)

    open_ended = Line("so what is the,", BEGUN, "a")
    next(make_corpus(tmp_path, Voice(), lambda rng: open_ended, 0.01))
    assert {one.text for one in read_corpus(tmp_path)} == {"so what is the,"}


def test_a_beginning_has_not_finished_however_it_is_worn(tmp_path: Path) -> None:
    wear, rng = Wear(tmp_path, [], strength=0.0, noise_s=2.0), np.random.default_rng(1)
    beginning = record(tmp_path / "begun", Line("what is the,", BEGUN, "a"))
    pcm = np.asarray(VOICED * 20_000, np.int16)
    made = [prepare(beginning, pcm, wear, rng) for _ in range(10)]
    assert not any(one.finished for one in made)
    assert not any("intent" in one.traits for one in made)


def test_whole_sentences_end_as_abruptly_as_broken_off_ones(tmp_path: Path) -> None:
    """Who decays to nothing is cut above the lowest level, in most cases; nothing else is lost."""
    wear, rng = Wear(tmp_path, [], strength=0.0, noise_s=2.0), np.random.default_rng(2)
    sentence = record(tmp_path / "whole", Line("go on.", "ask", "a"), (RATE // 2, RATE))
    decaying = VOICED * np.exp(-np.linspace(0, 7, RATE))
    made = [prepare(sentence, np.asarray(decaying * 30_000, np.int16), wear, rng) for _ in range(40)]
    lengths = np.array([one.end - one.start for one in made])
    assert all(one.finished for one in made)
    assert 10 < sum(lengths < lengths.max() * 0.8) < 38
    quietest = 10 ** (TAIL_DB[1] / 20)
    assert lengths.min() > 0.8 * np.flatnonzero(np.abs(decaying) > quietest)[-1]


def test_what_is_faded_out_is_shorter_and_ends_in_silence() -> None:
    pcm = np.full(RATE, 10_000, np.int16)
    out = faded_out(pcm, 12_000, np.random.default_rng(0))
    assert len(out) == 12_000
    assert out[-1] == 0
    assert out[0] == 10_000
    assert (pcm == 10_000).all()


def test_half_of_the_sounds_are_closed_soon_after_the_voice(tmp_path: Path) -> None:
    wear, rng = Wear(tmp_path, [], strength=0.0, noise_s=2.0), np.random.default_rng(3)
    made = prepare(
        record(tmp_path / "a", Line("go on.", "ask", "a")), np.asarray(VOICED * 9_000, np.int16), wear, rng
    )
    made = replace(made, sound=np.pad(made.sound, (0, RATE), constant_values=0.1))
    silent = [float(np.abs(closed(made, rng)[-1_000:]).max()) == 0 for _ in range(60)]
    assert 15 < sum(silent) < 45
    assert np.abs(made.sound[-1_000:]).max() > 0


def test_pauses_are_taken_by_who_does_not_wait() -> None:
    assert [taken(wait) for wait in (100, 400, 950, 1_500, None)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    waits = [("cut", 100), ("cut", None), ("begun", 950), ("finished", 200), ("finished", None)]
    found = wait_figures(waits, TurnPolicy())
    assert found["taken in pauses (%)"] == 50
    assert found["taken as begun (%)"] == 50
    assert found["50 % answered within (ms)"] == (200 + TurnPolicy().patience_ms) / 2


def test_a_sentence_ends_once_whole_and_twice_broken_off(tmp_path: Path) -> None:
    whole = record(
        tmp_path / "whole", Line("will it rain today.", "ask", "a"), tuple(range(6_000, 24_001, 6_000))
    )
    beginning = record(tmp_path / "begun", Line("will it,", BEGUN, "a"))
    found = ends([Clip(VOICED, one.text, one) for one in (whole, beginning)] + [Clip(VOICED, "unknown")])
    assert [end.kind for end in found] == ["finished", "cut", "cut", "begun"]
    assert {len(end.audio) for end in found if end.kind == "cut"} <= {12_000, 18_000}


@pytest.mark.parametrize(("finished", "expected_ms"), [(9.0, (180, 220)), (-9.0, (2_480, 2_520))])
@torch.inference_mode()
def test_the_silence_is_followed_with_the_real_turn_machine(
    finished: float, expected_ms: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    chat = ChatFormat(byte_tokenizer())
    transcriber = Transcriber.__new__(Transcriber)  # its scribe needs a reader, which these ears have not
    transcriber.decoder, transcriber.hearing, transcriber.chat = (
        make_decoder(Backbone(replace(CONFIG, context=4_096))),
        QuietRoom(float(finished > 0)),
        chat,
    )
    head = TurnHead(CONFIG.width)
    head.weights.data = torch.tensor([0.0, 0.0, finished])
    listened = Listened(transcriber, head, End(VOICED, "finished"))
    wait = listened.wait_ms(TurnPolicy())
    assert listened.finished(head) == (finished > 0)
    assert wait is not None
    assert expected_ms[0] <= wait <= expected_ms[1]


def test_of_like_length_as_many_are_drawn_finished_as_not() -> None:
    """One in five of the short ones has finished, four in five of the long ones."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.cat([torch.randint(5, 15, (4_000,), generator=generator), torch.full((4_000,), 60)])
    chance = torch.where(lengths < 20, 0.2, 0.8)
    finished = (torch.rand(len(lengths), generator=generator) < chance).float()
    weights = evenly(lengths, finished)
    for kind in (lengths < 20, lengths == 60):
        mass = weights * kind
        assert float((mass * finished).sum() / mass.sum()) == pytest.approx(0.5, abs=0.02)
    assert float(weights.max()) <= 5
