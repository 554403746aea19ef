from assistant.bench.trust import RIGHT, SLOWEST, by_trust, most_patient
from assistant.model.turn_head import TurnHead
from assistant.session.turn import TurnPolicy


class Sounds:
    """Waits as long as a head doubts that the words were over."""

    def __init__(self, words: float, sound: float) -> None:
        self.words, self.sound = words, sound

    def wait_ms(self, policy: TurnPolicy, head: TurnHead) -> int:
        return policy.wait_ms(head.judge(self.words, self.sound))

    def finished(self, head: TurnHead) -> bool:
        return head.judge(self.words, self.sound) > 0.5


def test_whoever_may_wait_longer_takes_no_more_pauses() -> None:
    sounds = [("finished", Sounds(2.0, 0.9)), ("cut", Sounds(1.9, 0.85)), ("begun", Sounds(1.0, 0.9))]
    found = by_trust(sounds, TurnHead(8), TurnPolicy())
    best = dict(most_patient(found))
    assert list(best) == sorted(best)
    taken = []
    for longest, trust in best.items():
        assert found[trust][SLOWEST] <= longest
        taken.append(found[trust]["taken in pauses (%)"] + found[trust]["taken as begun (%)"])
    assert taken == sorted(taken, reverse=True)
    assert taken[-1] < taken[0]


def test_finished_and_unfinished_count_alike() -> None:
    sounds = [("finished", Sounds(2.0, 0.9)), ("cut", Sounds(2.0, 0.9)), ("cut", Sounds(-2.0, 0.1))]
    found = by_trust(sounds, TurnHead(8), TurnPolicy())
    assert found[1.0, 1.0, 0.0][RIGHT] == 75


def test_without_a_setting_that_is_quick_enough_the_quickest_is_shown() -> None:
    found = by_trust([("finished", Sounds(-9.0, 0.01))], TurnHead(8), TurnPolicy())
    [(longest, trust)] = most_patient(found)
    assert longest == TurnPolicy().patience_ms
    assert found[trust][SLOWEST] == longest
