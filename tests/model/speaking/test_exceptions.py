"""The list of words that the pronouncer is not left to guess."""

import pytest
import torch

from assistant.model.speaking.config import MelHeadConfig
from assistant.model.speaking.exceptions import packed, unpacked
from assistant.model.speaking.pronouncer import Pronouncer, spelling
from assistant.model.speaking.units import split_phones, unit_ids
from assistant.training.exceptions import exceptions, said_in_sentences
from assistant.training.voice_batches import Entry

SMALL = MelHeadConfig(model_width=4, width=8, hidden=8, letter_layers=1)


def units(phonemes: str) -> tuple[int, ...]:
    return tuple(unit_ids()[phone] for phone in split_phones(phonemes) or ())


def test_a_list_survives_its_bytes() -> None:
    said = {"budget": units("bˈʌʤət"), "H": units("ˈAʧ"), "don't": units("dˈOnt")}
    assert unpacked(packed(said)) == said
    assert unpacked(packed({})) == {}


def test_a_damaged_list_is_told() -> None:
    with pytest.raises(ValueError, match="no word with its phones"):
        unpacked(torch.tensor(list(b"budget"), dtype=torch.uint8))


def test_a_listed_word_is_said_as_listed_and_others_by_the_net() -> None:
    torch.manual_seed(0)
    pronouncer, state = Pronouncer(SMALL), torch.randn(2 * SMALL.model_width)
    alone = pronouncer.say("the", "budget", "is", False, state)
    own = pronouncer.pronounce(spelling([("the", "budget", "is")]), torch.tensor([0]), state[None])[0]
    assert alone == tuple(own)
    pronouncer.exceptions = {"budget": units("bˈʌʤət")}
    assert pronouncer.say("the", "budget", "is", False, state) == units("bˈʌʤət")
    assert pronouncer.say("the", "tablet", "is", False, state) != units("bˈʌʤət")


def test_words_of_sentences_are_read_in_order() -> None:
    read = {"The cat sat.": "ðə kˈæt sˈæt."}
    seen = list(said_in_sentences(["The cat sat."], lambda text: read[text]))
    assert seen == [("the", units("ðə")), ("cat", units("kˈæt")), ("sat", units("sˈæt"))]


def test_only_words_with_one_way_are_listed() -> None:
    torch.manual_seed(0)
    pronouncer = Pronouncer(SMALL)
    seen = [("read", units("ɹˈid")), ("read", units("ɹˈɛd")), ("cat", units("kˈæt"))]
    guessed = pronouncer.pronounce(spelling([("", "dog", "")]), torch.tensor([0]), None)[0]
    lexicon = [
        Entry("dog", False, tuple(guessed)),  # the net says so anyway
        Entry("read", False, units("ɹˈid")),
        Entry("polish", False, units("pˈɑlɪʃ")),
        Entry("polish", True, units("pˈOlɪʃ")),
        Entry("budget", False, units("bˈʌʤət")),
    ]
    assert set(exceptions(lexicon, seen, pronouncer)) == {"cat", "budget"}
