"""Numbers as words, the way they are said in American English."""

SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = ("", "thousand", "million", "billion", "trillion", "quadrillion")
IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
LONGEST_SCALED = 18  # digits; a longer number is read digit by digit


def below_thousand(value: int) -> list[str]:
    """Say 0..999; nothing for 0."""
    words = []
    if value >= 100:
        words += [SMALL[value // 100], "hundred"]
        value %= 100
    if value >= 20:
        words.append(TENS[value // 10])
        value %= 10
    if value:
        words.append(SMALL[value])
    return words


def digits(text: str) -> list[str]:
    """Say digit by digit; anything that is no digit is passed over."""
    return [SMALL[int(char)] for char in text if char in "0123456789"]


def cardinal(text: str) -> list[str]:
    """Say a whole number that is written in digits, with or without commas."""
    text = text.replace(",", "")
    if len(text) > LONGEST_SCALED or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    value = int(text)
    if value == 0:
        return ["zero"]
    words: list[str] = []
    scale = 0
    while value:
        group = below_thousand(value % 1000)
        if group and scale:
            group.append(SCALES[scale])
        words = group + words
        value //= 1000
        scale += 1
    return words


def ordinal(text: str) -> list[str]:
    """Say the place in an order: "21" is twenty first."""
    words = cardinal(text)
    last = words[-1]
    if last in IRREGULAR_ORDINALS:
        return [*words[:-1], IRREGULAR_ORDINALS[last]]
    return [*words[:-1], last[:-1] + "ieth" if last.endswith("y") else last + "th"]


def decimal(text: str) -> list[str]:
    """Say a number with a decimal point."""
    whole, _, part = text.partition(".")
    return [*cardinal(whole or "0"), "point", *digits(part)]


def number(text: str) -> list[str]:
    """Say a whole or decimal number."""
    return decimal(text) if "." in text else cardinal(text)


def year(text: str) -> list[str]:
    """Say a year of four digits in pairs."""
    first, last = int(text[:2]), int(text[2:])
    if first % 10 == 0 and last < 10:
        return cardinal(text)
    if last == 0:
        return [*cardinal(str(first)), "hundred"]
    return [*cardinal(str(first)), *(["oh"] if last < 10 else []), *cardinal(str(last))]


def clock(hours: str, minutes: str, marked: bool) -> list[str]:
    """Say a time of day; ``marked`` when a.m. or p.m. or a time zone follows."""
    hour, minute = int(hours), int(minutes)
    if minute == 0:
        return cardinal(str(hour)) + ([] if marked else ["o'clock"] if hour <= 12 else ["hundred"])
    return [*cardinal(str(hour)), *(["oh"] if minute < 10 else []), *cardinal(str(minute))]


def money(text: str, unit: tuple[str, str], cent: tuple[str, str]) -> list[str]:
    """Say an amount; ``unit`` and ``cent`` are singular and plural."""
    whole, _, part = text.replace(",", "").partition(".")
    if len(part) not in (0, 2):
        return [*decimal(text.replace(",", "")), unit[1]]
    words = []
    if int(whole or "0") or not int(part or "0"):
        words += [*cardinal(whole or "0"), unit[int(whole or "0") != 1]]
    if int(part or "0"):
        words += (["and"] if words else []) + [*cardinal(str(int(part))), cent[int(part) != 1]]
    return words


def fraction(above: str, below: str) -> list[str]:
    """Say a simple fraction."""
    if below == "1":
        return [*cardinal(above), "over", "one"]
    many = int(above) != 1
    if below in {"2", "4"}:
        name = {"2": ("half", "halves"), "4": ("quarter", "quarters")}[below][many]
        return [*cardinal(above), name]
    words = ordinal(below)
    return [*cardinal(above), *words[:-1], words[-1] + ("s" if many else "")]
