"""Written text to spoken words, as it comes.

A written token (what stands between spaces) is turned into words when the token after it is known, because
"5" is said otherwise before "pm" than before "apples"; plain words do not wait. The result does not depend
on how the text was cut into pieces.
"""

import re
import unicodedata
from dataclasses import dataclass

from assistant.model.speaking.tokens import Context, say_token
from assistant.model.speaking.written_forms import ALWAYS_SHORT, SHORT, TITLES

PLAIN = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?[,;:!?]*$|[a-z]+\.$")
LONGEST_TOKEN = 200  # characters; what has no spaces for longer is cut
WORD_BEGINS = re.compile(r"[$£€]?[A-Za-z0-9]")
MARK_OF = {
    ",": ",",
    ";": ",",
    ":": ",",
    ".": ".",
    "!": "!",
    "?": "?",
    "…": ".",
    "—": ",",
    "–": ",",
    ")": ",",
    "]": ",",
    "。": ".",
    "，": ",",
    "！": "!",
    "？": "?",
}
ENDS = frozenset(".!?")
NEED_NEXT = frozenset({*TITLES, *SHORT, *ALWAYS_SHORT, "st", "no"})  # short forms that look like plain words


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word."""

    text: str  # small letters and apostrophes, or one capital letter that is said by its name
    mark: str  # what ends it: "" or one of , . ! ?
    start: int  # where the written token begins in the whole text
    end: int  # where it ends
    capital: bool = False  # written with a capital letter: a name, or a sentence's first word

    @property
    def ends_sentence(self) -> bool:
        """Whether the voice stops after it."""
        return self.mark in ENDS


@dataclass(frozen=True, slots=True)
class ReaderState:
    """Small state, returned anew."""

    position: int = 0  # of the first character of ``rest`` in the whole text
    rest: str = ""  # begun, not yet ended by a space
    waiting: tuple[str, int] | None = None  # a token that waits for the next one, and where it begins
    before: str = ""  # the token before that
    held: Word | None = None  # the last word, held until it is known that no mark of its own follows


def clean(text: str) -> str:
    """Unify spaces, quotes and composed characters; one character stays one character."""
    table = {
        0x2019: "'",
        0x2018: "'",
        0x201C: '"',
        0x201D: '"',
        0x00A0: " ",
        0x202F: " ",
        0x2011: "-",
        0x2212: "−",
    }
    text = text.translate(table)
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def read(state: ReaderState, text: str, last: bool = False) -> tuple[list[Word], ReaderState]:
    """Take in more text and give the words that are certain now.

    Args:
        state: of the last call.
        text: the next piece, cut anywhere.
        last: nothing follows.
    """
    rest, position = state.rest + clean(text), state.position
    waiting, before, held = state.waiting, state.before, state.held
    words: list[Word] = []

    def settle(token: tuple[str, int], after: str) -> None:
        nonlocal held, before
        made = spoken(token[0], token[1], before, after)
        before = token[0]
        for word in made:
            if not word.text:  # a mark alone belongs to the word before it
                if held is not None and not held.mark:
                    held = Word(held.text, word.mark, held.start, word.end, held.capital)
                continue
            if held is not None:
                words.append(held)
            held = word

    while True:
        match = re.search(r"\S+", rest)
        if match is None:
            position, rest = position + len(rest), ""
            break
        ended = match.end() < len(rest) or last
        token, begin = match.group(), position + match.start()
        if len(token) > LONGEST_TOKEN:
            token, ended = token[:LONGEST_TOKEN], True
        if not ended:
            position, rest = position + match.start(), rest[match.start() :]
            break
        rest, position = rest[match.start() + len(token) :], begin + len(token)
        if waiting is not None:
            settle(waiting, token)
        waiting = (token, begin)
        if PLAIN.match(token) and token.rstrip(".").lower() not in NEED_NEXT and not before[-1:].isdecimal():
            settle(waiting, "")
            waiting = None
    if last:
        if waiting is not None:
            settle(waiting, "")
            waiting = None
        if held is not None:
            words.append(held)
            held = None
    elif held is not None:
        following = waiting[0] if waiting is not None else rest.lstrip()
        if held.mark or WORD_BEGINS.match(following):  # no mark of its own can follow
            words.append(held)
            held = None
    return words, ReaderState(position, rest, waiting, before, held)


def spoken(token: str, start: int, before: str, after: str) -> list[Word]:
    """Say one written token; a word of empty text carries a mark that stands alone."""
    end = start + len(token)
    opening = [Word("", ",", start, start)] if token[0] in "([" else []
    core = token.strip("\"'*_`“”([{<>#|~") if len(token) > 1 else token
    mark = ""
    while core and core[-1] in MARK_OF and not re.fullmatch(r"(?:[A-Za-z]\.){2,}", core):
        mark = stronger(mark, MARK_OF[core[-1]])
        core = core[:-1].rstrip("\"'*_`)]}")
    if not core or core in {"-", "--", "—", "–", "...", "|", "/"}:
        if not mark and core in {"-", "--", "—", "–"}:
            mark = ","
        return [*opening, Word("", mark, start, end)] if mark else opening
    if re.fullmatch(r"(?:[A-Za-z]\.){2,}", core):
        mark = mark or ("." if after == "" or after[:1].isupper() else "")
    texts = say_token(core, Context(before, after, mark))
    mark = texts.mark
    flat = [(text, capital) for text, capital in map(plain, texts.words) if text]
    if not flat:
        return [*opening, Word("", mark, start, end)] if mark else opening
    marks = {index: "," for index in texts.commas}
    marks[len(flat) - 1] = mark
    return opening + [
        Word(text, marks.get(i, ""), start, end, capital) for i, (text, capital) in enumerate(flat)
    ]


def stronger(a: str, b: str) -> str:
    """Of two marks the one that says more about the voice."""
    return max(a, b, key=" ,.!?".find) if a and b else a or b


def plain(text: str) -> tuple[str, bool]:
    """Reduce a word to letters of the English alphabet; tells whether it was written with a capital."""
    if len(text) == 1 and text.isascii() and text.isupper():
        return text, True
    kept = "".join(
        char
        for char in unicodedata.normalize("NFKD", text)
        if char.isascii() and (char.isalpha() or char == "'")
    )
    return kept.strip("'").lower(), kept[:1].isupper()
