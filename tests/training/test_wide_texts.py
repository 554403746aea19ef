import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from assistant.errors import DependencyError
from assistant.training.speech_data import never_learned
from assistant.training.texts import WORD, lines
from assistant.training.token_sounds import shares, token_sounds
from assistant.training.wide_texts import WIDE, WideTexts, Word, definitions, package_sentences, read_words
from audiocodec.token_sounds import PHONES, numbers

WORDS = [Word("the", 9_000, "ðə", "ðə"), Word("quail", 3, "kwAl", "kwAl"), Word("sings", 40, "sɪŋz", "sɪŋz")]


def drawn(texts: WideTexts, count: int = 300) -> list[str]:
    rng = random.Random(5)
    return [texts.draw(rng).text for _ in range(count)]


def test_seldom_words_are_drawn_more_often_than_they_occur() -> None:
    found = Counter(
        word for text in drawn(WideTexts(WORDS, ["the quail sings"])) for word in text.lower().split()
    )
    assert found["the"] < 20 * found["quail"]
    assert set(found) <= {"the", "quail", "sings", "the.", "quail.", "sings."}


def test_sentences_with_unknown_words_and_tested_ones_are_left_out() -> None:
    tested = lines(test=True)[0].text
    words = [Word(word.lower(), 5, "ə", "ə") for word in WORD.findall(tested)] + WORDS
    spoken = drawn(WideTexts(words, [tested, "the zyx sings"]))
    assert tested not in spoken
    assert not any("zyx" in text for text in spoken)


def test_the_list_of_words_can_be_spelled() -> None:
    words = read_words()
    assert len(words) > 15_000
    assert len({word.text for word in words}) == len(words)
    assert [word.count for word in words] == sorted((word.count for word in words), reverse=True)
    for word in words:
        assert word.count > 0
        assert set(word.american + word.british) <= set(PHONES)


def test_missing_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="wordnet-base"):
        package_sentences(tmp_path / "nowhere")


def test_pieces_share_the_phones_of_their_word() -> None:
    assert shares("wʊdʧʌk", [" wood", "ch", "uck"]) == ["wʊd", "ʧ", "ʌk"]
    assert "".join(shares("kwAl", [" qu", "a", "il"])) == "kwAl"


def test_tokens_sound_as_in_most_words() -> None:
    pieces = [" the", " quail", "s", " un", "?"]
    split = {" the": [0], " quail": [1], " quails": [1, 2], " unquail": [3, 1]}

    def encode(text: str) -> list[int]:
        return split.get(text, [])

    words = [WORDS[0], WORDS[1], Word("quails", 3, "kwAlz", "kwAlz")]
    phones = token_sounds(words, torch.arange(5), encode, lambda tokens: "".join(pieces[n] for n in tokens))
    assert phones[1, 0].tolist()[:5] == numbers("kwAl", starts_word=True)
    assert phones[2, 0].tolist()[:2] == [*numbers("z", starts_word=False), 0]
    assert not phones[4].any()


def test_definitions_are_taken_apart(tmp_path: Path) -> None:
    gloss = 'a small bird (of the fields); shoots: hunts quail; "the quail sings"; of 2 kinds'
    for part in ("noun", "verb", "adj", "adv"):
        (tmp_path / f"data.{part}").write_text(f"0001 05 n 01 quail 0 000 | {gloss}\n")
    assert definitions(tmp_path) == ["a small bird"]


def test_some_sentences_of_the_packages_are_for_choices() -> None:
    said = [f"the quail sings {'the ' * number}" for number in range(200)]
    texts = WideTexts(WORDS, said)
    kept = {texts.put_aside(random.Random(seed)).text for seed in range(100)}
    assert 2 < len(kept) < 40
    wide = [line for line in texts.lines if line.kind == WIDE]
    assert {line.text for line in wide if never_learned(line.source, "")} == kept
