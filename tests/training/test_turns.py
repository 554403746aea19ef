"""The turn head's own training: where sentences break off, what the transformer reads, what is learned."""

from dataclasses import replace
from random import Random

import torch

from assistant.model.backbone import Backbone
from assistant.model.chat import Message
from assistant.model.hearing import AUDIO_OPEN, Hearing
from assistant.model.trait_words import KINDS
from assistant.model.turn_head import TurnHead
from assistant.training.omni_data import SYSTEMS
from assistant.training.texts import Line, broken_off, lines
from assistant.training.train_omni import Runs
from assistant.training.train_turns import INNER, Streams, TurnRecipe, read_sounds, sentences
from audiocodec.prosody import PROSODY_WIDTH
from tests.engine.tiny_omni import CONFIG
from tests.training.test_joint_training import CHAT, WIDTH, hearing  # noqa: F401  # a fixture


def test_nothing_is_broken_off_at_an_end() -> None:
    line = Line("Yes. I do. Then go on", "ask", "a")
    found = {broken_off(line, Random(seed)) for seed in range(60)}
    assert found == {"Yes. I", "Yes. I do. Then", "Yes. I do. Then go"}
    assert broken_off(Line("Yes.", "ask", "a"), Random(0)) is None
    paused = Line("I would like some tea.", "cutoff", "a", pauses=("I would like",))
    assert {broken_off(paused, Random(seed)) for seed in range(60)} > {"I would like", "I"}


def test_sentences_are_whole_and_half_of_them_of_other_texts() -> None:
    said, other = lines(test=False), [Line("A spoon is for soup.", "wide", "b")]
    drawn = list(sentences(said, other, 300, Random(1)))
    assert drawn[1::2] == [other[0].text] * 300
    assert set(drawn[::2]) <= {line.text for line in said if line.kind in ("ask", "cutoff")}
    assert drawn == list(sentences(said, other, 300, Random(1)))
    assert len(list(sentences(said, [], 5, Random(1)))) == 5


@torch.inference_mode()
def test_what_is_heard_is_read_in_the_transformers_own_format(hearing: Hearing) -> None:  # noqa: F811  # the fixture
    """On processors with bfloat16 the transformer is trained in it, and what is heard is float32."""
    torch.manual_seed(2)
    backbone, sounds = Backbone(CONFIG).eval(), [sound(4)]
    exact, rough = (
        next(read_sounds(backbone.to(dtype), hearing, CHAT, sounds)).stream.float()
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert torch.cosine_similarity(exact, rough).min().item() > 0.99


@torch.inference_mode()
def test_the_stream_is_that_at_the_last_word_and_at_words_before(hearing: Hearing) -> None:  # noqa: F811  # the fixture
    """Padding to the longest of a batch changes nothing, nor does what is said later."""
    torch.manual_seed(2)
    backbone = Backbone(CONFIG).eval()
    sounds = [replace(one, finished=bool(index % 2)) for index, one in enumerate(map(sound, (3, 1, 7, 0)))]
    sounds[0] = replace(sounds[0], manner=1.5)
    read = Streams.joined(list(read_sounds(backbone, hearing, CHAT, sounds)))
    assert read.stream.shape == (1 + 3 + INNER + 1, WIDTH)  # the shortest first; without words there is none
    assert read.words.tolist()[:4] == [1, 1, 2, 3]
    assert read.words.tolist()[-1] == 7
    assert read.finished.tolist() == [1] + 8 * [0]
    assert (~read.manner.isnan()).nonzero().tolist() == [[3]]
    system = Random(4).choice(SYSTEMS)
    before = [*(CHAT.turn(Message("system", system)) if system else ()), *CHAT.open("user"), AUDIO_OPEN]
    one = sounds[0]
    words = one.words + hearing.say_how(one.prosody)
    for count in (1, 2, 3):
        embeddings = torch.cat([backbone.embedding(torch.tensor(before)), words[:count]])
        alone = backbone(embeddings[None], layer=CONFIG.layers).layer
        assert alone is not None
        torch.testing.assert_close(read.stream[count].float(), alone[0, -1], atol=5e-3, rtol=1e-2)


def sound(count: int) -> Runs:
    return Runs(torch.randn(count, WIDTH), torch.zeros(count, PROSODY_WIDTH), torch.rand(KINDS))


def test_it_learns_words_and_how_far_to_trust_the_sound() -> None:
    generator = torch.Generator().manual_seed(0)
    finished = (torch.rand(800, generator=generator) > 0.5).float()
    stream = torch.randn(800, WIDTH, generator=generator)
    stream[:, 0] += 2 * (2 * finished - 1)
    manner = torch.randn(800, generator=generator) * 3  # says nothing
    manner[::2] = torch.nan
    words = torch.arange(800) % 9 + 1
    recipe = TurnRecipe(TurnHead(WIDTH), Streams(stream.half(), words, finished, manner), steps=300)
    shown = [recipe.step(number) for number in range(300)]
    assert shown[-1]["words"] < 0.5 * shown[0]["words"]
    weights = recipe.head.weights.tolist()
    assert weights[0] > 0.5
    assert abs(weights[1]) < 0.3
    first, again = (TurnRecipe(TurnHead(WIDTH), recipe.streams, 300) for _ in range(2))
    again.head.load_state_dict(first.head.state_dict())
    assert first.step(7) == again.step(7)


def test_a_set_without_sound_teaches_the_words_alone() -> None:
    streams = Streams(torch.randn(40, WIDTH), torch.arange(40), torch.ones(40), torch.full((40,), torch.nan))
    recipe = TurnRecipe(TurnHead(WIDTH), streams, steps=4)
    assert recipe.step(0)["joined"] == 0
