"""Is the answer to a spoken question as good as to the same question typed?

The questions begin dialogues that nothing learns, spoken by voices that nothing learns. An answer is judged
right if it says what the dialogue's own answers say and not what the answers of other questions say: its
MiniLM similarity to the best of its references is at least ``LIKE``, and no reference of the ``OTHERS`` other
questions is closer. The judge shares no weights with the assistant; it is coarse, and equally so for all
columns.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from assistant.bench.hearing_sets import Audio, Clip
from assistant.bench.judges.similarity import MiniLM
from assistant.training.texts import dialogues

LIKE = 0.5  # cosine; a coarse line between paraphrases and other topics, not tuned
OTHERS = 49


@dataclass(frozen=True, slots=True)
class Question:
    """A question put aside, with its sound and its reference answers."""

    text: str
    audio: Audio
    references: tuple[str, ...]


def questions(clips: list[Clip]) -> list[Question]:
    """The spoken asks among some clips that begin a dialogue."""
    known = [*dialogues(test=True), *dialogues(test=False)]
    turns = {str(record["id"]): record["turns"] for record in known if "scene" not in record}
    found = []
    for clip in clips:
        record = clip.record
        if record is not None and record.kind == "ask" and record.turn == 0 and record.source in turns:
            first = turns[record.source]
            assert isinstance(first, list)
            found.append(Question(clip.text, clip.audio, tuple(map(str, first[0]["answer"]))))
    return found


def right(answers: list[str], asked: list[Question], judge: MiniLM, seed: int = 0) -> list[bool]:
    """Judge each answer; see the module's text."""
    rng = random.Random(seed)
    given = judge.vectors(answers)
    own = [judge.vectors(list(question.references)) for question in asked]
    verdicts = []
    for index, vector in enumerate(given):
        others = [other for other in range(len(asked)) if other != index]
        chosen = rng.sample(others, min(OTHERS, len(others)))
        best = float((own[index] @ vector).max())
        rival = max((float((own[other] @ vector).max()) for other in chosen), default=-1.0)
        verdicts.append(bool(answers[index].strip()) and best >= LIKE and best > rival)
    return verdicts


def table(
    asked: list[Question], ways: dict[str, Callable[[Question], str]], judge: MiniLM
) -> dict[str, tuple[float, list[str]]]:
    """For each way of answering: the part judged right, and its answers."""
    rows = {}
    for name, answer in ways.items():
        answers = [answer(question) for question in asked]
        verdicts = right(answers, asked, judge)
        rows[name] = (sum(verdicts) / max(1, len(verdicts)), answers)
    return rows
