"""How one written token is said, given its neighbours."""

import re
import unicodedata
from dataclasses import dataclass, field

from assistant.model.speaking import spoken_numbers as say
from assistant.model.speaking import written_forms as forms

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
TIME_AFTER = re.compile(r"^(?:[ap]\.?m\.?|o'clock)\b", re.IGNORECASE)
MONTH = re.compile(
    r"^(?:" + "|".join(say.MONTHS) + r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?)$"
)
ACRONYM = re.compile(r"^[A-Z]{2,5}(?:'?s)?$")
VOWELS = frozenset("AEIOUYaeiouy")
LINK = re.compile(
    r"(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\w[\w-]*(?:\.[\w-]+)*\.(?:com|org|net|io|edu|gov|uk|de)\b\S*"
)


@dataclass(frozen=True, slots=True)
class Context:
    """What stands around a token."""

    before: str
    after: str
    mark: str


@dataclass(frozen=True, slots=True)
class Said:
    """The words of a token, the mark after the last one, and the words with a short pause after them."""

    words: list[str]
    mark: str
    commas: tuple[int, ...] = field(default=())


def say_token(core: str, context: Context) -> Said:
    """Say a token without the marks around it."""
    mark = context.mark
    lower = core.lower()
    if lower in forms.DOTTED or lower.rstrip(".") in forms.DOTTED:
        return Said(
            list(forms.DOTTED[lower.rstrip(".")]), "" if mark == "." and context.after[:1].islower() else mark
        )
    short = abbreviation(core, context)
    if short is not None:
        return short
    if LINK.fullmatch(core):
        return Said(link(core), mark)
    if lower in forms.SCALE_WORDS and context.before[:1] in forms.CURRENCIES:
        return Said([lower, forms.CURRENCIES[context.before[0]][0][1]], mark)
    if context.before[-1:].isdecimal():
        if re.fullmatch(r"[ap]m", lower):
            return Said([lower[0].upper(), "M"], mark)
        if lower in forms.UNITS:
            return Said(forms.UNITS[lower][context.before != "1"].split(), mark)
    if any(char.isdecimal() for char in core):
        return Said(*with_digits(core, context))
    if core in forms.ROMAN and context.before[:1].isupper():
        value = str(forms.ROMAN[core])
        counted = context.before.lower() in forms.COUNTED
        return Said(say.cardinal(value) if counted else ["the", *say.ordinal(value)], mark)
    return Said(letters(core), mark)


def abbreviation(core: str, context: Context) -> Said | None:
    """Say a short form, if it is one; its own full stop is no end of a sentence."""
    lower, mark = core.lower(), context.mark
    name_follows = context.after[:1].isupper()
    if (
        lower in forms.TITLES
        and core[0].isupper()
        and (name_follows or lower in forms.ALWAYS_SHORT)
        and mark in {"", "."}
    ):
        return Said([forms.TITLES[lower]], "")
    if lower == "st" and mark in {"", "."}:
        return (
            Said(["saint"], "")
            if name_follows and context.before[:1].islower() | (context.before == "")
            else Said(["street"], "" if context.after[:1].islower() else mark)
        )
    if lower == "no" and mark == "." and context.after[:1].isdecimal():
        return Said(["number"], "")
    if (
        lower in forms.SHORT
        and mark == "."
        and core[0].isupper() == (lower in SHORT_CAPITAL or core[0].isupper())
    ):
        if lower in COMMON_WORDS and (not context.after or name_follows):
            return None
        return Said([forms.SHORT[lower]], "" if context.after else mark)
    if lower in forms.ALWAYS_SHORT:
        return Said([forms.ALWAYS_SHORT[lower]], "" if mark == "." and context.after else mark)
    return None


SHORT_CAPITAL = frozenset(
    [
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
        "sat",
        "sun",
    ]
)
COMMON_WORDS = frozenset(
    ["sun", "sat", "mar", "wed", "max", "min", "fig", "ch", "mon", "est", "inc"]
)  # also whole words at a sentence's end


def number_or_year(text: str, context: Context) -> list[str]:
    """Say a whole number; four digits without a comma may be a year."""
    if re.fullmatch(r"1[1-9]\d\d|20\d\d", text):
        lone = not re.match(r"^[a-z°%]", context.after) or context.after in {
            "and",
            "to",
            "was",
            "when",
            "with",
            "or",
            "the",
            "in",
            "by",
            "on",
            "is",
        }
        told = (
            context.before.lower() in forms.YEAR_BEFORE
            or MONTH.match(context.before)
            or context.before.endswith(",")
        )
        if told or lone:
            return say.year(text)
    return say.number(text)


def with_digits(core: str, context: Context) -> tuple[list[str], str]:
    """Say a token with digits in it."""
    mark, after = context.mark, context.after
    for pattern, rule in RULES:
        match = pattern.fullmatch(core)
        if match:
            return rule(match, context), mark
    if re.fullmatch(NUMBER, core):
        if MONTH.match(context.before) and len(core) <= 2:
            return say.ordinal(core), mark
        if MONTH.match(after) and len(core) <= 2 and context.before.lower() != "the":
            return ["the", *say.ordinal(core), "of"], mark
        if re.fullmatch(r"\d{7,}", core) or re.fullmatch(r"0\d+", core):
            return say.digits(core), mark
        return number_or_year(core, context), mark
    return mixed(core, context), mark


def mixed(core: str, context: Context) -> list[str]:
    """Say a token of letters, digits and symbols piece by piece."""
    words: list[str] = []
    pieces = re.findall(NUMBER + r"|[A-Za-z']+|[^\W\d_]+|\S", core)
    for index, piece in enumerate(pieces):
        later = pieces[index + 1] if index + 1 < len(pieces) else ""
        if piece[0].isdecimal():
            words += say.digits(piece) if re.fullmatch(r"\d{7,}|0\d+", piece) else say.number(piece)
        elif index and pieces[index - 1][-1].isdecimal() and piece.lower() in forms.UNITS and len(piece) > 1:
            words += forms.UNITS[piece.lower()][pieces[index - 1] != "1"].split()
        elif piece in "-–" and later[:1].isdecimal() and index and pieces[index - 1][-1].isdecimal():
            words.append("to" if len(pieces) == 3 else "dash" if len(pieces) > 5 else "to")
        elif piece == "-" and later[:1].isdecimal() and index == 0:
            words.append("minus")
        elif piece == "/" and index and later:
            words.append("slash")
        elif piece == "." and index and later:
            words.append("point" if later[0].isdecimal() else "dot")
        elif piece == ":" and index and later:
            words.append("to")
        elif piece in "*x" and len(piece) == 1 and later[:1].isdecimal() and index:
            words.append("times" if piece == "*" else "by")
        else:
            words += letters(piece)
    return words


def letters(core: str) -> list[str]:
    """Say a token without digits."""
    if core in forms.SYMBOLS:
        return list(forms.SYMBOLS[core])
    if (
        ACRONYM.match(core)
        and core.rstrip("s'") not in forms.CAPITAL_WORDS
        and core not in forms.CAPITAL_WORDS
    ):
        return spell(core)
    if core.lower() in forms.SPELLED:
        return spell(core.upper())
    if re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]?", core):
        return spell(core.replace(".", "").upper())
    words: list[str] = []
    for piece in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|[^\w\s]", core):
        if piece in forms.SYMBOLS and len(core) > 1 and piece in "&+=@%°×÷":
            words += forms.SYMBOLS[piece]
        elif len(piece) == 1 and piece.isalpha() and not piece.isascii():
            words += name_of(piece)
        elif not piece[0].isalpha():
            words += forms.SYMBOLS[piece] if piece in "½¼¾√∞²³" else ()
        elif len(piece) == 1 and piece.isascii():
            words.append(piece if piece in "aAI" else piece.upper())
        elif ACRONYM.match(piece) and piece not in forms.CAPITAL_WORDS and len(piece) < len(core):
            words += spell(piece)
        else:
            words += camel(piece)
    if words and words[0] == "A":
        words[0] = "a"
    return words


def camel(piece: str) -> list[str]:
    """Cut a word where a capital letter follows a small one."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", piece).split()


def spell(core: str) -> list[str]:
    """Say letter by letter; a small s at the end is a plural or a possessive."""
    bare = core.rstrip("s'") if core[-1] == "s" and len(core) > 2 else core
    parts: list[str] = []
    for letter in bare:
        parts += ["double", "U"] if letter == "W" else [letter]
    if bare != core:
        parts[-1] = forms.LETTER_PLURALS[parts[-1]]
    return parts


def name_of(char: str) -> list[str]:
    """Say a letter of another alphabet by its name if it has a short one (Greek), else as its Latin base."""
    base = unicodedata.normalize("NFKD", char)[0]
    if base.isascii() and base.isalpha():
        return [base.upper()]
    match = re.fullmatch(r"GREEK (?:SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(base, ""))
    return [match.group(1).lower()] if match else []


def link(core: str) -> list[str]:
    """Say an address."""
    core = re.sub(r"^https?://", "", core).rstrip("/")
    words: list[str] = []
    names = {
        ".": "dot",
        "@": "at",
        "/": "slash",
        "-": "dash",
        "_": "underscore",
        ":": "colon",
        "?": "question",
    }
    for piece in re.findall(r"[A-Za-z]+|\d+|\S", core):
        if piece.isdecimal():
            words += say.digits(piece) if len(piece) > 4 else say.number(piece)
        elif piece in names:
            words.append(names[piece])
        elif piece.lower() == "www":
            words += ["double", "U"] * 3
        elif piece.isalpha():
            words.append(piece)
    return words


def _ordinal(match: re.Match[str], context: Context) -> list[str]:
    return say.ordinal(match[1].replace(",", ""))


def _clock(match: re.Match[str], context: Context) -> list[str]:
    suffix = match[3] or ""
    marked = bool(suffix) or bool(TIME_AFTER.match(context.after))
    words = say.clock(match[1], match[2], marked)
    return words + [letter.upper() for letter in suffix if letter.isalpha()]


def _hour(match: re.Match[str], context: Context) -> list[str]:
    return [*say.cardinal(match[1]), *(letter.upper() for letter in match[2] if letter.isalpha())]


def _money(match: re.Match[str], context: Context) -> list[str]:
    unit, cent = forms.CURRENCIES[match[2]]
    scale = {"k": "thousand", "m": "million", "b": "billion", "bn": "billion"}.get(
        (match[4] or "").lower(), ""
    )
    sign = ["minus"] if match[1] else []
    if scale:
        return [*sign, *say.number(match[3]), scale, unit[1]]
    if context.after.lower().rstrip(",.;:!?)") in forms.SCALE_WORDS:
        return [*sign, *say.number(match[3])]
    return sign + say.money(match[3], unit, cent)


def _percent(match: re.Match[str], context: Context) -> list[str]:
    low = match[1].replace("−", "-")
    sign = ["minus"] if low.startswith("-") else ["plus"] if low.startswith("+") else []
    return [*sign, *say.number(low.lstrip("+-")), *forms.UNITS[match[2].lower()][match[1] != "1"].split()]


def _day(match: re.Match[str], context: Context) -> list[str]:
    return [say.MONTHS[int(match[2]) - 1], *say.ordinal(str(int(match[3]))), *say.year(match[1])]


def _american_day(match: re.Match[str], context: Context) -> list[str]:
    full = match[3] if len(match[3]) == 4 else "20" + match[3]
    return [say.MONTHS[int(match[1]) - 1], *say.ordinal(str(int(match[2]))), *say.year(full)]


def _fraction(match: re.Match[str], context: Context) -> list[str]:
    whole = [*say.cardinal(match[1]), "and"] if match[1] else []
    parts = say.fraction(match[2], match[3])
    return whole + (["a", *parts[1:]] if whole and parts[0] == "one" else parts)


def _range(match: re.Match[str], context: Context) -> list[str]:
    tail = forms.UNITS[match[3].lower()][1].split() if match[3] else []
    both = [number_or_year(match[1], Context("in", "", "")), number_or_year(match[2], Context("in", "", ""))]
    return [*both[0], "to", *both[1], *tail]


def _telephone(match: re.Match[str], context: Context) -> list[str]:
    return (["plus"] if match[0].startswith("+") else []) + say.digits(match[0])


def _decade(match: re.Match[str], context: Context) -> list[str]:
    full = match[1] if len(match[1]) == 4 else "19" + match[1]
    words = say.year(full) if len(match[1]) == 4 else say.cardinal(match[1])
    last = words[-1]
    return [*words[:-1], last[:-1] + "ies" if last.endswith("y") else last + "s"]


def _signed(match: re.Match[str], context: Context) -> list[str]:
    return [{"+": "plus"}.get(match[1], "minus"), *say.number(match[2])]


def _count(match: re.Match[str], context: Context) -> list[str]:
    return ["number", *say.number(match[1])]


N = f"({NUMBER})"
ALL_UNITS = "|".join(re.escape(unit) for unit in sorted(forms.UNITS, key=len, reverse=True))
RULES = tuple(
    (re.compile(pattern, re.IGNORECASE), rule)
    for pattern, rule in (
        (r"([\d,]+)(?:st|nd|rd|th)", _ordinal),
        (r"(\d{1,2}):([0-5]\d)(?::[0-5]\d)?([ap]\.?m\.?)?", _clock),
        (r"(\d{1,2})([ap]\.?m\.?)", _hour),
        (rf"([-−])?([$£€¥₹]){N}(k|m|b|bn)?", _money),
        (r"'?([12]\d\d0|[2-9]0)'?s", _decade),
        (rf"([-−+]?(?:{NUMBER}))({ALL_UNITS})", _percent),
        (r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", _day),
        (r"(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])/(\d{4}|\d{2})", _american_day),
        (r"(?:(\d+)[- ])?(\d{1,2})/(\d{1,2})", _fraction),
        (r"\+?\d[\d().-]*\d{3}-\d{4}|\(?\d{3}\)?-?\d{3}-\d{4}|\d{3}-\d{4}|\+\d{7,}", _telephone),
        (rf"{N}[-–]{N}({ALL_UNITS})?", _range),
        (rf"([-−+]){N}", _signed),
        (rf"#{N}", _count),
    )
)
