"""The transformer's choice among what was likely heard."""

from collections.abc import Iterator, Sequence

import pytest
import torch

from assistant.model.backbone import Backbone
from assistant.model.decoder import StepOutput, TorchDecoder
from assistant.model.kv_cache import CacheShape
from assistant.model.scribe import LONGEST_PART, PART_FRAMES, Look, Scribe, cut, weigh
from audiocodec.reader import Reading

WORDS = ["<end>", " cube", " number", " cucumber", " a", " of", " the"]
END, OPEN = 0, 7
LIKES = {(OPEN, 4): 3, (4, 3): 1}  # "a cucumber" is likely said


class Tokens:
    """A tokenizer of whole words; with or without the space before them they are the same."""

    def encode(self, text: str) -> list[int]:
        return [WORDS.index(f" {word}") for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        return "".join(WORDS[number] for number in ids)


class Chat:
    tokenizer = Tokens()
    turn_end = END

    def open(self, role: str) -> list[int]:
        assert role == "user"
        return [OPEN]


class Cache(list[int]):
    def fork(self) -> "Cache":
        return Cache(self)


class Grammar:
    """A decoder that likes some words after others and has seen how often it was asked."""

    def __init__(self) -> None:
        self.steps = 0
        self.asked: list[tuple[int, ...]] = []

    def new_cache(self, shape: object) -> Cache:
        return Cache()

    def _scores(self, cache: Cache) -> torch.Tensor:
        scores = torch.zeros(len(WORDS) + 1)
        for (before, after), likes in LIKES.items():
            scores[after] += 8.0 * likes * (cache[-1] == before)
        return scores

    def prefill(self, cache: Cache, inputs: torch.Tensor) -> StepOutput:
        cache.extend(inputs.tolist())
        return StepOutput(self._scores(cache)[None], None)

    def decode_step(self, caches: Sequence[Cache], inputs: torch.Tensor) -> StepOutput:
        self.steps += 1
        for cache, token in zip(caches, inputs.tolist(), strict=True):
            cache.append(token)
            self.asked.append(tuple(cache))
        return StepOutput(torch.stack([self._scores(cache) for cache in caches]), None)


def heard(*frames: tuple[float, int, int, float]) -> Reading:
    blank, first, second, lead = (torch.tensor(part) for part in zip(*frames, strict=True))
    return Reading(blank, torch.stack([first, second], dim=-1), torch.stack([lead, 1 - lead], dim=-1))


def write(reading: Reading, *again: Look) -> tuple[str, Grammar]:
    grammar = Grammar()
    scribe = Scribe(grammar, Chat(), torch.arange(len(WORDS)))
    return "".join(scribe.write(reading, *again)), grammar


def test_of_two_sounds_the_likely_word_is_written() -> None:
    sure, doubt = (0.01, 4, 5, 0.99), (0.01, 1, 3, 0.7)
    assert write(heard(sure, (0.999, 0, 1, 0.5), doubt))[0] == "a cucumber"
    assert write(heard((0.01, 5, 6, 0.99), (0.999, 0, 1, 0.5), doubt))[0] == "of cube"


def test_a_sure_ear_is_believed() -> None:
    assert write(heard((0.01, 4, 5, 0.99), (0.999, 0, 1, 0.5), (0.0001, 1, 3, 0.9999)))[0] == "a cube"


def test_what_the_ear_rules_out_is_not_asked_about() -> None:
    """However much the language would like it."""
    ruled_out = (0.0001, 1, 3, 0.9999)
    text, grammar = write(heard((0.01, 4, 5, 0.99), (0.999, 0, 1, 0.5), ruled_out, (0.01, 5, 6, 0.99)))
    assert text == "a cube of"
    assert not any(3 in asked for asked in grammar.asked)


def test_what_begins_alike_is_asked_once() -> None:
    doubt = [(0.3, 4, 5, 0.7), (0.999, 0, 1, 0.5), (0.3, 1, 3, 0.7), (0.999, 0, 1, 0.5), (0.3, 2, 6, 0.6)]
    _, grammar = write(heard(*doubt))
    assert len(grammar.asked) == len(set(grammar.asked)) > 8
    assert grammar.steps == 3  # of three words and the end


def test_silence_is_not_written_and_not_asked_about() -> None:
    text, grammar = write(heard(*[(0.9995, 1, 2, 0.6)] * 200))
    assert text == ""
    assert grammar.steps == 0


def test_long_speech_goes_on_where_it_was() -> None:
    word, pause = (0.0001, 4, 5, 0.9999), (0.9995, 1, 2, 0.6)
    text, _ = write(heard(*[word, pause] * 90))
    assert text == " ".join(["a"] * 90)


def test_other_looks_outweigh_a_mistake() -> None:
    """Also where what was said is in their lists alone."""
    pause, a_word = (0.999, 0, 1, 0.5), (0.01, 4, 5, 0.99)
    wrong = heard(a_word, pause, (0.01, 6, 2, 0.6))
    right = heard(a_word, pause, (0.01, 5, 4, 0.999))
    assert write(wrong)[0] == "a the"
    assert write(wrong, Look(right, 1.0), Look(right, 1.0))[0] == "a of"
    assert write(right, Look(wrong, 1.0))[0] == "a of"


def test_of_long_speech_each_part_is_looked_at_again() -> None:
    """A quicker look has fewer frames."""
    word, other, pause = (0.0001, 4, 5, 0.9999), (0.0001, 5, 4, 0.9999), (0.9995, 1, 2, 0.6)
    slow = heard(*[word, pause] * 40, *[other, pause] * 40)
    at_half_pace = heard(*[word, pause, pause, pause] * 40, *[other, pause, pause, pause] * 40)
    text = " ".join(["a"] * 40 + ["of"] * 40)
    assert write(at_half_pace, Look(slow, 2.0))[0] == text


@pytest.mark.parametrize("blank", [0.9995, 0.5])
def test_parts_are_bounded_and_lose_nothing(blank: float) -> None:
    reading = heard(*[(blank, 1, 2, 0.6)] * 333)
    parts = cut(reading)
    assert [frame for part in parts for frame in range(*part)] == list(range(333))
    lengths = [end - start for start, end in parts]
    assert max(lengths) <= LONGEST_PART
    assert min(lengths[:-1]) >= PART_FRAMES


@torch.no_grad()
def test_weights_are_those_of_whole_sentences(tiny: Backbone) -> None:
    decoder, prompt = TorchDecoder(tiny), [1, 2, 3]
    sentences = [[4, 5, 6], [4, 5], [4, 7, 6, 8], [9], []]
    cache = decoder.new_cache(CacheShape(window=40, sinks=2, rewind=8))
    steps = weigh(decoder, cache, decoder.prefill(cache, torch.tensor(prompt)).logits[0], sentences)
    found: list[float] = []

    def keep() -> Iterator[str]:
        found.extend((yield from steps))

    assert set(keep()) == {""}
    for sentence, score in zip(sentences, found, strict=True):
        ids = torch.tensor([prompt + sentence])
        likely = tiny.logits(tiny(tiny.embed(ids)).last)[0].log_softmax(dim=-1)
        truth = sum(float(likely[2 + place, token]) for place, token in enumerate(sentence))
        assert score == pytest.approx(truth, abs=1e-3)
