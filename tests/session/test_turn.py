"""Turn tables: frames and judgements in, decisions out, on the sample clock."""

import pytest

from assistant.session.turn import Decision, TurnPolicy, TurnTaker

START, SPECULATE, REOPEN, END = Decision.START, Decision.SPECULATE, Decision.REOPEN, Decision.END
PATIENT = TurnPolicy(speculate_ms=100, finished_ms=200, doubt_ms=4_000, patience_ms=2_500)
SILENCE_ONLY = TurnPolicy(speculate_ms=100, finished_ms=500, patience_ms=500, by_score=False)


def play(taker: TurnTaker, script: str, scores: dict[int, float] | None = None) -> list[tuple[int, Decision]]:
    """Feed ``x`` (speech) and ``.`` (silence) frames; ``scores`` come after the frame of that number."""
    found = []
    for number, sign in enumerate(script, start=1):
        decision = taker.frame(sign == "x")
        if decision is not None:
            found.append((number, decision))
        if scores and number in scores:
            decision = taker.score(taker.silence_ms, scores[number])
            if decision is not None:
                found.append((number, decision))
    return found


TWICE = [(3, START), (8, SPECULATE), (9, REOPEN), (16, SPECULATE), (17, REOPEN)]  # unfinished both times
TABLE = [
    ("silence begins nothing", "." * 20, {}, []),
    ("a click begins nothing", "..x....x....", {}, []),
    ("60 ms within 100 ms begin a turn", "..x.xx", {}, [(6, START)]),
    ("finished: answered after 200 ms", "xxx" + "." * 12, {8: 1.0}, [(3, START), (8, SPECULATE), (13, END)]),
    (
        "a late judgement ends it at once",
        "xxx" + "." * 17,
        {17: 1.0},
        [(3, START), (8, SPECULATE), (17, END)],
    ),
    ("unfinished: taken back at once", "xxx" + "." * 12, {9: 0.1}, [(3, START), (8, SPECULATE), (9, REOPEN)]),
    (
        "nearly sure: held a little longer",
        "xxx" + "." * 20,
        {9: 0.8},
        [(3, START), (8, SPECULATE), (20, END)],
    ),
    (
        "unfinished, and finished on second thoughts",
        "xxx" + "." * 30,
        {9: 0.1, 20: 0.8},
        [(3, START), (8, SPECULATE), (9, REOPEN), (16, SPECULATE), (20, END)],
    ),
    (
        "unfinished, and nearly finished on second thoughts",
        "xxx" + "." * 30,
        {9: 0.1, 16: 0.7},
        [(3, START), (8, SPECULATE), (9, REOPEN), (16, SPECULATE), (25, END)],
    ),
    (
        "begun again, and taken back again",
        "xxx" + "." * 40,
        {9: PATIENT.threshold / 2, 17: PATIENT.threshold / 2, 37: 0.1},
        [*TWICE, (36, SPECULATE), (37, REOPEN)],
    ),
    (
        "unfinished for certain: answered in the end",
        "xxx" + "." * 130,
        {9: 0.0, 17: 0.0},
        [*TWICE, (116, SPECULATE), (128, END)],
    ),
    (
        "in doubt: begun again before it is wanted",
        "xxx" + "." * 60,
        {9: PATIENT.threshold / 2, 17: PATIENT.threshold / 2},
        [*TWICE, (36, SPECULATE), (48, END)],
    ),
    (
        "a doubt about one pause is forgotten in the next",
        "xxx......xxx" + "." * 40,
        {9: 0.25},
        [(3, START), (8, SPECULATE), (9, REOPEN), (17, SPECULATE)],
    ),
    (
        "the user goes on while an answer is held",
        "xxx......xxxx" + "." * 12,
        {8: 1.0, 18: 1.0},
        [(3, START), (8, SPECULATE), (12, REOPEN), (18, SPECULATE), (23, END)],
    ),
    (
        "a click within a pause reopens nothing",
        "xxx.......x" + "." * 4,
        {9: 1.0},
        [(3, START), (8, SPECULATE), (13, END)],
    ),
    ("no judgement, no answer before the cap", "xxx" + "." * 60, {}, [(3, START), (8, SPECULATE)]),
]


@pytest.mark.parametrize(
    ("script", "scores", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_turn_table(script: str, scores: dict[int, float], expected: list[tuple[int, Decision]]) -> None:
    assert play(TurnTaker(PATIENT), script, scores) == expected


def test_the_less_finished_the_longer_the_wait() -> None:
    waits = [PATIENT.wait_ms(finished) for finished in (1.0, PATIENT.threshold, 0.4, 0.2, 0.1, 0.0, None)]
    assert waits[0] == waits[1] == 200
    assert waits == sorted(waits)
    assert waits[3] < 2_500
    assert waits[4:] == [2_500] * 3


def test_silence_alone_decides_where_that_was_asked_for() -> None:
    taker = TurnTaker(SILENCE_ONLY)
    found = play(taker, "xxx" + "." * 30, {9: 0.0, 12: 1.0})
    assert found == [(3, START), (8, SPECULATE), (28, END)]


def test_a_judgement_about_speech_counts_for_nothing() -> None:
    taker = TurnTaker(PATIENT)
    play(taker, "xxx")
    assert taker.score(0, 1.0) is None
    play(taker, "..")
    assert taker.score(-40, 1.0) is None  # it had not heard any of this silence


def test_a_judgement_that_covers_less_than_an_earlier_one_counts_for_nothing() -> None:
    taker = TurnTaker(PATIENT)
    play(taker, "xxx" + "." * 5)
    assert taker.score(100, 1.0) is None  # it is over after 200 ms
    assert taker.score(60, 0.0) is None
    assert taker.held  # the answer was not taken back for it
    assert taker.score(120, 0.0) is REOPEN
    play(taker, "xxx" + "." * 5)
    assert taker.score(20, 0.0) is REOPEN  # another silence


def test_turns_follow_one_another() -> None:
    taker = TurnTaker(PATIENT)
    one = "xxx" + "." * 10
    assert [d for _, d in play(taker, one + one, {8: 1.0, 21: 1.0})] == [START, SPECULATE, END] * 2


def test_onset_is_the_first_speech_frame() -> None:
    taker = TurnTaker(PATIENT)
    play(taker, "...x.xx")
    assert taker.onset_ms == 80
