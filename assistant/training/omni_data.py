"""Conversations for joint training: typed and spoken asks with their answers, and questions about the sound
itself.
"""

from dataclasses import dataclass, field, replace
from random import Random

from assistant.model.manner import TRAITS
from assistant.training.features import HeardUtterance
from assistant.training.texts import WORD, dialogues, for_choices, lines

SYSTEMS = (
    "",
    "You are Viva, a friendly voice assistant. Answer briefly.",
    "You are Viva. You speak with people and see what their camera sees. Keep answers short and kind.",
)
WRITE_DOWN = "Write down what I said."
REPEATS = ("Repeat what I said.", "Say that back to me.", "What did I just say?")
HOW = ("How did I sound?", "How do I sound?", "What did my voice sound like?", "Describe how I said that.")
HOW_ONE = {  # asked for one trait alone
    "rate": ("How fast did I speak?", "Am I talking too fast?", "Did I speak slowly or fast?"),
    "loudness": ("How loud was I?", "Was I too quiet?", "Did I speak softly or loudly?"),
    "pitch": ("Is my voice high or low?", "Do I have a low voice?", "How high is my voice?"),
    "voicing": ("Did I whisper?", "Was I whispering?"),
    "intent": ("Was that a question or a statement?", "Did that sound like a question?"),
}
ASKED_FOR_ONE, ASKED_ALONE, ASKED_AFTER = 0.35, 0.25, 0.3  # of the questions about the sound
SHARES = {"answer": 0.44, "write": 0.04, "typed": 0.23, "repeat": 0.03, "how": 0.16, "say": 0.1}
ELSEWHERE = 0.5  # of what people say is not of the dialogues, where there is any
HISTORY = 2  # earlier exchanges of a dialogue that are shown, half of the time
WORDS = {
    "rate": {"slow": "slowly", "usual": "at a usual pace", "fast": "fast"},
    "loudness": {"quiet": "softly", "usual": "at a usual level", "loud": "loudly"},
    "pitch": {"low": "a low voice", "middle": "a voice of middle pitch", "high": "a high voice"},
    "intent": {"statement": "a statement", "question": "a question"},
}
WHISPERED = 0.1  # of the manners that are drawn


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation to learn from: what stands before the last answer, and that answer."""

    system: str
    history: tuple[tuple[str, str], ...]  # earlier (ask, answer), typed
    heard: HeardUtterance | None  # the spoken ask; None where it is typed
    typed: str  # typed ask, or what is typed after the sound
    answer: str | None  # None: what is typed is itself learned, as something that people say
    then: tuple[str, str] | None = None  # a second spoken ask, whose sound is always imagined, and its answer
    traits: dict[str, str] = field(default_factory=dict)  # how that second ask is said


def describe(traits: dict[str, str]) -> str:
    """Say in one or two short sentences how something sounded."""
    parts = []
    if traits.get("voicing") == "whispered":
        parts.append("You whispered")
    elif "loudness" in traits:
        parts.append(f"You spoke {WORDS['loudness'][traits['loudness']]}")
    else:
        parts.append("You spoke")
    if "rate" in traits:
        parts.append(f"and {WORDS['rate'][traits['rate']]}")
    if traits.get("voicing") != "whispered" and "pitch" in traits:
        parts.append(f"in {WORDS['pitch'][traits['pitch']]}")
    text = " ".join(parts) + "."
    if "intent" in traits:
        text += f" It was {WORDS['intent'][traits['intent']]}."
    return text


def describe_one(trait: str, kind: str) -> str:
    """Answer a question about one trait."""
    if trait == "voicing":
        return "Yes, you whispered." if kind == "whispered" else "No, you spoke aloud."
    return {
        "rate": "You spoke {}.",
        "loudness": "You spoke {}.",
        "pitch": "You have {}.",
        "intent": "It was {}.",
    }[trait].format(WORDS[trait][kind])


def marked(one: HeardUtterance) -> int:
    """In how many ways something was said out of the usual."""
    return sum(kind not in ("usual", "middle") for kind in one.traits.values())


def drawn_traits(rng: Random) -> dict[str, str]:
    """Some manner of speaking."""
    traits = {name: rng.choice(kinds) for name, kinds in TRAITS.items()}
    if rng.random() < WHISPERED:
        del traits["pitch"]
        return traits | {"voicing": "whispered", "loudness": "quiet"}
    return traits | {"voicing": "voiced"}


def imagined_utterances() -> tuple[HeardUtterance, ...]:
    """All that is spoken in training, as utterances without frames: what the transformer may learn from
    before anything has been heard, and what keeps rare words alive afterwards.
    """
    return tuple(
        HeardUtterance(0, 0, 0, 0, True, line.text, line.kind, line.source, line.turn, "", {})
        for line in lines(test=False)
        if not for_choices(line.source)
    )


class Conversations:
    """Draws examples; which kind and which words depend only on the step's generator."""

    def __init__(self, heard: tuple[HeardUtterance, ...], sentences: tuple[str, ...] = ()) -> None:
        """``sentences`` are further ones that people might say."""
        self.sentences = sentences
        self.by_id = {
            str(record["id"]): record["turns"]
            for record in dialogues(test=False)
            if "scene" not in record and not for_choices(str(record["id"]))
        }
        told = [one for one in heard if one.traits]
        self.told = [one for one in told if one.finished and one.kind != "scrambled"]
        self.whole = [one for one in heard if one.finished and len(WORD.findall(one.text)) > 0]
        self.asks = [one for one in self.whole if one.kind == "ask" and one.source in self.by_id]
        self.sensible = [one for one in self.whole if one.kind != "scrambled"]
        self.ids = sorted(self.by_id)

    def draw(self, rng: Random) -> Example:
        """One example."""
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        system = rng.choice(SYSTEMS)
        if kind == "typed":
            return self._dialogue(rng, system, rng.choice(self.ids), None)
        if kind == "answer":
            one = rng.choice(self.asks)
            return self._dialogue(rng, system, one.source, one)
        if kind == "write":
            one = rng.choice(self.whole if rng.random() < 0.25 else self.sensible)
            return Example("", (), one, WRITE_DOWN, one.text)
        if kind == "say":
            elsewhere = self.sentences and rng.random() < ELSEWHERE
            text = rng.choice(self.sentences) if elsewhere else rng.choice(self.sensible).text
            return Example("", (), None, text, None)
        if kind == "repeat":
            one = rng.choice(self.sensible)
            return Example(system, (), one, rng.choice(REPEATS), one.text)
        return self._how(rng, system)

    def _how(self, rng: Random, system: str) -> Example:
        """A question about the sound: of the ask itself, typed after it, or spoken after its answer."""
        drawn = [rng.choice(self.told if self.told and rng.random() < 0.5 else self.sensible) for _ in "ab"]
        one = max(drawn, key=marked)  # most voices are of middle pitch: it would learn to say so
        if not one.traits:  # so nobody has said it: in any way
            one = replace(one, frames=0, traits=drawn_traits(rng))
        how, said = rng.choice(HOW), describe(one.traits)
        if rng.random() < ASKED_FOR_ONE:
            trait = rng.choice(sorted(one.traits))
            how, said = rng.choice(HOW_ONE[trait]), describe_one(trait, one.traits[trait])
        where = rng.random()
        if where < ASKED_ALONE:
            traits = drawn_traits(rng) | {"intent": "question"}
            said = describe(traits)
            return Example(system, (), replace(one, frames=0, text=rng.choice(HOW), traits=traits), "", said)
        if where < ASKED_ALONE + ASKED_AFTER and one.kind == "ask" and one.source in self.by_id:
            first = self._dialogue(rng, system, one.source, one)
            return replace(first, then=(how, said), traits=one.traits | {"intent": "question"})
        return Example(system, (), one, how, said)

    def _dialogue(self, rng: Random, system: str, source: str, heard: HeardUtterance | None) -> Example:
        turns = self.by_id[source]
        assert isinstance(turns, list)
        usable = [index for index, turn in enumerate(turns) if "call" not in turn and "result" not in turn]
        index = heard.turn if heard is not None else rng.choice(usable or [0])
        back = HISTORY if rng.random() < 0.5 else 0
        history = tuple(
            (str(rng.choice(turn["ask"])), str(rng.choice(turn["answer"])))
            for turn in turns[max(0, index - back) : index]
        )
        turn = turns[index]
        typed = "" if heard is not None else str(rng.choice(turn["ask"]))
        return Example(system, history, heard, typed, str(rng.choice(turn["answer"])))
