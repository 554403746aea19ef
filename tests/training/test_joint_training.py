"""Joint training: how examples are laid out, what is learned of them, and how batches are drawn."""

from dataclasses import replace
from random import Random

import pytest
import torch

from assistant.errors import WeightsError
from assistant.model.adapters import Adapter
from assistant.model.backbone import Backbone
from assistant.model.chat import ChatFormat
from assistant.model.hearing import AUDIO_CLOSE, AUDIO_OPEN, Hearing
from assistant.model.hearing_files import new_hearing
from assistant.model.manner import TRAITS, MannerConfig
from assistant.model.trait_words import KINDS
from assistant.training.heard_runs import Imagination, Runs, alike
from assistant.training.omni_data import (
    HOW,
    HOW_ONE,
    Conversations,
    Example,
    describe,
    imagined_utterances,
)
from assistant.training.texts import dialogues, for_choices
from assistant.training.train_omni import IGNORED, OmniPace, OmniRecipe, Speech, Written, write
from audiocodec.encoder import EncoderConfig
from tests.engine.tiny_omni import CONFIG, byte_tokenizer

WIDTH = CONFIG.width
CHAT = ChatFormat(byte_tokenizer())


def runs(count: int) -> Runs:
    return Runs(torch.randn(count, WIDTH), torch.zeros(count, 4), torch.zeros(KINDS))


@pytest.mark.parametrize(
    ("example", "answers"),
    [
        (Example("", (), None, "Hi", "Hello."), ["Hello."]),
        (
            Example("Be kind.", (("One?", "Two."), ("And?", "Three.")), None, "So", "Six."),
            ["Two.", "Three.", "Six."],
        ),
        (
            Example("", (), None, "", "It rains.", then=("How did I sound?", "Softly.")),
            ["It rains.", "Softly."],
        ),
    ],
    ids=["one turn", "history", "a second sound"],
)
def test_every_answer_is_learned_and_nothing_else(example: Example, answers: list[str]) -> None:
    sound = None if example.typed else runs(3)
    one = write(CHAT, example, sound, runs(2) if example.then else None)
    assert len(one.tokens) == len(one.targets)
    learned = [target for target in one.targets if target != IGNORED]
    end = CHAT.turn_end
    assert learned == [token for text in answers for token in [*CHAT.tokenizer.encode(text), end]]
    for place, target in enumerate(one.targets[:-1]):
        assert target in (IGNORED, one.tokens[place + 1])


def test_sounds_lie_between_their_markers() -> None:
    example = Example("", (), None, "", "Yes.", then=("Why?", "So."))
    one = write(CHAT, example, runs(3), runs(2))
    assert [len(sound.words) for _, sound in one.heard] == [3, 2]
    for first, sound in one.heard:
        count = len(sound.words) + len(TRAITS)  # how it was said comes last
        assert one.tokens[first - 1] == AUDIO_OPEN
        assert one.tokens[first : first + count] == [-1] * count
        assert one.tokens[first + count] == AUDIO_CLOSE
    assert one.tokens.count(-1) == 3 + 2 + 2 * len(TRAITS)


@pytest.fixture
def hearing() -> Hearing:
    torch.manual_seed(0)
    encoder = EncoderConfig(
        layers=1, projector_width=16, projector_heads=2, projector_layers=1, model_width=WIDTH, sound_width=4
    )
    return new_hearing(
        encoder, MannerConfig(WIDTH, 8, 16), torch.randn(260, WIDTH), torch.arange(5, 200)
    ).eval()


def recipe(hearing: Hearing) -> OmniRecipe:
    torch.manual_seed(1)
    speech = Speech(CHAT, lambda text: [len(word) for word in text.split()], frozenset())
    pace = OmniPace(rank=2, first=1, batch=3, pool=2, steps=8, warm_up=1, rate=3e-3)
    return OmniRecipe(Backbone(CONFIG).bfloat16(), hearing, None, speech, pace)


def test_a_pool_is_sorted_by_length_and_drawn_once(hearing: Hearing) -> None:
    made = recipe(hearing)
    first, second = made.batch(0), made.batch(1)
    spans = sorted((min(map(size, part)), max(map(size, part))) for part in (first, second))
    assert spans[0][1] <= spans[1][0]
    assert [one.tokens for one in made.batch(1)] == [one.tokens for one in second]


def size(one: Written) -> int:
    return len(one.tokens)


def test_a_shallow_step_spares_what_lies_below_the_adapters(hearing: Hearing) -> None:
    made = recipe(hearing)
    batch = next(found for found in map(made.batch, range(20)) if any(one.heard for one in found))
    for deep in (True, False):
        made.optimizer.zero_grad(set_to_none=True)
        made.loss(batch, deep).backward()  # type: ignore[no-untyped-call]
        assert (made.adapted.rows.grad is not None) == deep
        assert all(pair[1].grad is not None for pair in made.adapted.layers)  # type: ignore[index]


def test_it_can_begin_where_an_adapter_ended(hearing: Hearing) -> None:
    made = recipe(hearing)
    losses = [made.loss(made.batch(0)).item()]
    for parameter in made.adapted.layers.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    again = recipe(hearing)
    again.adapted.start_from(made.adapted.adapter())
    losses += [one.loss(one.batch(0)).item() for one in (made, again)]
    assert losses[1] == pytest.approx(losses[2], rel=1e-3)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)
    name, (down, up) = next(iter(made.adapted.adapter().matrices.items()))
    other = Adapter({name: (down[:1], up[:, :1])}, torch.zeros(0, dtype=torch.long), torch.zeros(0, 0))
    with pytest.raises(WeightsError, match="does not fit"):
        again.adapted.start_from(other)


def test_it_learns_to_answer(hearing: Hearing) -> None:
    made = recipe(hearing)
    batch = made.batch(0)
    with torch.no_grad():
        before = float(made.loss(batch))
    for _ in range(25):
        answers = made.loss(batch)
        made.optimizer.zero_grad(set_to_none=True)
        answers.backward()
        made.optimizer.step()
    assert float(answers.detach()) < before - 0.1


def test_how_it_sounded_is_asked_by_voice_too() -> None:
    heard = imagined_utterances()
    told = tuple(replace(one, traits={"rate": "fast"}) for one in heard[:400])
    conversations = Conversations(told)
    drawn = [conversations.draw(Random(seed)) for seed in range(400)]
    spoken = [one for one in drawn if one.then is not None and one.then[0] in HOW]
    assert spoken
    assert all(one.then is not None and one.traits["rate"] in one.then[1] for one in spoken)


def test_what_nobody_said_is_imagined_in_a_manner(hearing: Hearing) -> None:
    made = recipe(hearing)
    drawn = [made.conversations.draw(Random(seed)) for seed in range(1_200)]
    asked = [one for one in drawn if one.typed in HOW and one.heard is not None]
    assert asked
    for one in asked:
        assert one.heard is not None
        assert one.answer == describe(one.heard.traits)
        heard = made.runs(one.heard, Random(1)).traits
        shares = dict(zip(TRAITS, torch.split(heard, [len(kinds) for kinds in TRAITS.values()]), strict=True))
        for name, kind in one.heard.traits.items():
            assert TRAITS[name][int(shares[name].argmax())] == kind
    alone = [one for one in drawn if one.heard is not None and one.heard.text in HOW]
    assert len({one.answer for one in alone}) > 5
    assert all(str(one.answer).endswith("It was a question.") for one in alone)
    single = [one.answer for one in drawn if one.typed in HOW_ONE["voicing"]]
    assert set(single) <= {"Yes, you whispered.", "No, you spoke aloud."}
    assert single


def test_what_people_say_is_learned_from_its_first_word_on() -> None:
    one = write(CHAT, Example("", (), None, "how far is it", None), None)
    words = [*CHAT.tokenizer.encode("how far is it"), CHAT.turn_end]
    opened = len(CHAT.open("user"))
    assert one.targets[opened - 1 :] == words
    assert set(one.targets[: opened - 1]) == {IGNORED}
    assert one.tokens[opened:] == words[:-1]
    assert len(one.tokens) == len(one.targets)


def test_dialogues_for_choices_are_never_drawn() -> None:
    conversations = Conversations(imagined_utterances(), ("Others say so.",))
    assert not any(for_choices(source) for source in conversations.ids)
    assert not any(for_choices(one.source) for one in conversations.sensible)
    kept = [str(record["id"]) for record in dialogues(test=False) if for_choices(str(record["id"]))]
    assert 0.03 < len(kept) / len(conversations.ids) < 0.08
    drawn = [conversations.draw(Random(seed)) for seed in range(300)]
    said = [one.typed for one in drawn if one.answer is None]
    assert 0 < said.count("Others say so.") < len(said)


def test_tokens_are_mistaken_for_what_sounds_like_them(hearing: Hearing) -> None:
    reader = hearing.reader
    assert reader.sound is not None
    reader.phones[:] = torch.randint(1, 30, reader.phones.shape, generator=torch.Generator().manual_seed(2))
    reader.phones[7] = reader.phones[3]  # as "two" and "too"
    assert int(alike(reader)[3, 0]) == 7
    assert int(alike(reader)[7, 0]) == 3
    made = Imagination(hearing)
    runs = made.runs(torch.tensor([3] * 400), Random(1))
    own, other = hearing.embedding[reader.tokens[[3, 7]]]
    nearest = torch.cdist(runs.words, torch.stack([own, other])).argmin(dim=1)
    assert 360 < len(runs.words) < 420
    assert 250 < int((nearest == 0).sum()) < 400
