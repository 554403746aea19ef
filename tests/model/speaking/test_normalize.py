"""Written text as spoken words: what is said, and that cuts change nothing."""

import random

import pytest

from assistant.model.speaking.normalize import ReaderState, Word, read

SAID = [
    (
        "It costs $3.50, or £1,200 in all.",
        "it costs three dollars and fifty cents, or one thousand two hundred pounds in all.",
    ),
    (
        "Meet Dr. Smith at 7:30 pm on March 3, 2024!",
        "meet doctor smith at seven thirty P M on march third, twenty twenty four!",
    ),
    (
        "In 1984 there were 1,250 people; 5% left.",
        "in nineteen eighty four there were one thousand two hundred fifty people, five percent left.",
    ),
    (
        "St. Mary's St. is 5 km away (about 3 miles).",
        "saint mary's street is five kilometers away, about three miles.",
    ),
    ("The 21st of May 2010, 3/4 cup.", "the twenty first of may twenty ten, three quarters cup."),
    ("Call 555-1234.", "call five five five one two three four."),
    ("The U.S. and NASA, IBM, the BBC's TVs.", "the U S and nasa, I B M, the B B sees T vees."),
    ("Visit www.example.com", "visit double U double U double U dot example dot com"),
    ("World War II and Henry VIII.", "world war two and henry the eighth."),
    ("It's 25°C; 10-12 kg.", "it's twenty five degrees celsius, ten to twelve kilograms."),
    ("$3 million; the 1990s; MP3, 4K.", "three million dollars, the nineteen nineties, M P three, four K."),
    (
        "At 12:00 or 6:05am, I'm 5 ft tall. A cat.",
        "at twelve o'clock or six oh five A M, i'm five feet tall. a cat.",
    ),
    ('No. 5 is best... Really? "Yes," he said.', "number five is best. really? yes, he said."),
    ("2024-03-05, 3/5/24", "march fifth twenty twenty four, march fifth twenty twenty four"),
    ("a 20,000-word text, state-of-the-art", "a twenty thousand word text, state of the art"),
    ("naïve café **Bold** text - and `code`.", "naive cafe bold text, and code."),
    ("7+5=12, 3 × 4 = 12", "seven plus five equals twelve, three times four equals twelve"),
    ("你好 мир hello 😀 α", "hello alpha"),
    ("\u0663 cats", "three cats"),
    ("***", ""),
    ("🎉🎉 — …", ""),
    ("", ""),
]


def said(words: list[Word]) -> str:
    return " ".join(word.text + word.mark for word in words)


@pytest.mark.parametrize(("text", "want"), SAID)
def test_is_said(text: str, want: str) -> None:
    words, _ = read(ReaderState(), text, last=True)
    assert said(words) == want


@pytest.mark.parametrize(("text", "want"), SAID)
def test_cuts_change_nothing(text: str, want: str) -> None:
    whole, _ = read(ReaderState(), text, last=True)
    rng = random.Random(text)
    for longest in (1, 3, 9):
        state, words, rest = ReaderState(), [], text
        while rest:
            count = rng.randint(1, longest)
            more, state = read(state, rest[:count])
            words += more
            rest = rest[count:]
        more, _ = read(state, "", last=True)
        assert words + more == whole


def test_words_lie_where_they_are_written() -> None:
    text = "Pay $20 to  Ann."
    words, _ = read(ReaderState(), text, last=True)
    assert [text[word.start : word.end] for word in words] == ["Pay", "$20", "$20", "to", "Ann."]


def test_plain_words_do_not_wait() -> None:
    words, state = read(ReaderState(), "Hello there my")
    assert [word.text for word in words] == ["hello", "there"]
    words, _ = read(state, " friend")
    assert [word.text for word in words] == ["my"]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_makes_it_fail(seed: int) -> None:
    rng = random.Random(seed)
    signs = "abcXYZ 019 .,:;!?-–—()[]{}'\"$£€%&@#*/\\+=<>^~|°²½éßñЖ中あ😀\u0301\u200d\t\n"
    text = "".join(rng.choice(signs) for _ in range(400))
    words, _ = read(ReaderState(), text, last=True)
    for word in words:
        assert word.text
        assert all(char.isascii() and (char.isalpha() or char == "'") for char in word.text)
        assert 0 <= word.start < word.end <= len(text)
