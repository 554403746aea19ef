"""Tables of what is written otherwise than it is said."""

TITLES = {
    "dr": "doctor", "mr": "mister", "mrs": "missus", "ms": "miz", "prof": "professor", "gen": "general",
    "capt": "captain", "sgt": "sergeant", "lt": "lieutenant", "rev": "reverend", "hon": "honorable", "gov": "governor",
    "sen": "senator", "rep": "representative",
}  # fmt: skip
# With a full stop after them.
SHORT = {
    "etc": "etcetera", "vs": "versus", "approx": "approximately", "dept": "department", "est": "established",
    "inc": "incorporated", "ltd": "limited", "jr": "junior", "sr": "senior", "ave": "avenue", "rd": "road",
    "blvd": "boulevard", "apt": "apartment", "jan": "January", "feb": "February", "mar": "March", "apr": "April",
    "jun": "June", "jul": "July", "aug": "August", "sep": "September", "sept": "September", "oct": "October",
    "nov": "November", "dec": "December", "mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday",
    "thu": "Thursday", "thurs": "Thursday", "fri": "Friday", "sat": "Saturday", "sun": "Sunday", "tel": "telephone",
    "max": "maximum", "min": "minimum", "avg": "average", "fig": "figure", "vol": "volume", "ch": "chapter",
    "tbsp": "tablespoons", "tsp": "teaspoons",
}  # fmt: skip
ALWAYS_SHORT = {"tbsp": "tablespoons", "tsp": "teaspoons", "vs": "versus", "etc": "etcetera", "mr": "mister", "mrs": "missus", "dr": "doctor", "ms": "miz"}  # fmt: skip
DOTTED = {
    "e.g": ("for", "example"), "i.e": ("that", "is"), "a.m": ("A", "M"), "p.m": ("P", "M"), "u.s": ("U", "S"),
    "u.k": ("U", "K"), "u.s.a": ("U", "S", "A"), "ph.d": ("P", "H", "D"), "b.c": ("B", "C"), "a.d": ("A", "D"),
    "w.r.t": ("with", "respect", "to"),
}  # fmt: skip
# Singular and plural of what stands after a number.
UNITS = {
    "km": ("kilometer", "kilometers"), "m": ("meter", "meters"), "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"), "mi": ("mile", "miles"), "ft": ("foot", "feet"), "yd": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"), "mg": ("milligram", "milligrams"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "l": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"), "s": ("second", "seconds"), "sec": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"), "min": ("minute", "minutes"), "mins": ("minute", "minutes"),
    "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "w": ("watt", "watts"),
    "kw": ("kilowatt", "kilowatts"), "kwh": ("kilowatt hour", "kilowatt hours"), "v": ("volt", "volts"),
    "hz": ("hertz", "hertz"), "khz": ("kilohertz", "kilohertz"), "mhz": ("megahertz", "megahertz"),
    "ghz": ("gigahertz", "gigahertz"), "kb": ("kilobyte", "kilobytes"), "mb": ("megabyte", "megabytes"),
    "gb": ("gigabyte", "gigabytes"), "tb": ("terabyte", "terabytes"), "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"), "kph": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"), "°c": ("degree Celsius", "degrees Celsius"),
    "°f": ("degree Fahrenheit", "degrees Fahrenheit"), "°": ("degree", "degrees"), "%": ("percent", "percent"),
    "db": ("decibel", "decibels"), "cal": ("calorie", "calories"), "kcal": ("kilocalorie", "kilocalories"),
    "m²": ("square meter", "square meters"), "km²": ("square kilometer", "square kilometers"),
    "m³": ("cubic meter", "cubic meters"), "\"": ("inch", "inches"),
}  # fmt: skip
CURRENCIES = {
    "$": (("dollar", "dollars"), ("cent", "cents")),
    "£": (("pound", "pounds"), ("penny", "pence")),
    "€": (("euro", "euros"), ("cent", "cents")),
    "¥": (("yen", "yen"), ("sen", "sen")),
    "₹": (("rupee", "rupees"), ("paisa", "paise")),
}
SCALE_WORDS = frozenset(("thousand", "million", "billion", "trillion"))
SYMBOLS = {
    "&": ("and",), "+": ("plus",), "=": ("equals",), "×": ("times",), "÷": ("divided", "by"), "@": ("at",),
    "%": ("percent",), "°": ("degrees",), "≈": ("about",), "~": ("about",), "<": ("less", "than"),
    ">": ("greater", "than"), "≤": ("at", "most"), "≥": ("at", "least"), "±": ("plus", "or", "minus"),
    "√": ("square", "root", "of"), "½": ("one", "half"), "¼": ("one", "quarter"), "¾": ("three", "quarters"),
    "§": ("section",), "©": ("copyright",), "#": ("number",), "→": ("to",), "−": ("minus",), "^": ("to", "the"),
    "$": ("dollars",), "£": ("pounds",), "€": ("euros",), "²": ("squared",), "³": ("cubed",), "∞": ("infinity",),
}  # fmt: skip
# Written in capitals but said as words.
CAPITAL_WORDS = frozenset(
    "NASA NATO UNICEF UNESCO OPEC AIDS LASER RADAR SCUBA COVID PIN RAM ROM JPEG GIF OK FIFA UEFA NAFTA SIM LEGO IKEA "
    "ASAP SWAT VIVA TED YOLO".split()
)
SPELLED = frozenset(
    "tv pc dvd cd gps usb html css url faq diy ceo dna rna uk usa eu bbc cnn fbi cia mp".split()
)
ROMAN = {
    "II": 2, "III": 3, "IV": 4, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "XI": 11, "XII": 12, "XIII": 13, "XIV": 14,
    "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18, "XIX": 19, "XX": 20,
}  # fmt: skip
COUNTED = frozenset(
    "war chapter part act volume type phase book section stage level mark episode appendix grade".split()
)
YEAR_BEFORE = frozenset("in since by until from before after around year of early late mid circa".split())
LETTER_PLURALS = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVXYZ",
        (
            "ays bees sees dees ease effs gees aitches eyes jays kays els ems ens ohs peas queues ars esses teas use "
            "vees exes whys zees"
        ).split(),
        strict=True,
    )
)
