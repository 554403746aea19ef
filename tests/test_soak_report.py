import pytest

from assistant.bench.latency import Spread
from assistant.bench.sessions import SoakReport


def test_growth_is_told_by_the_mean_and_by_the_least_of_the_last_third() -> None:
    spread = Spread.of([0.2])
    leaking = SoakReport(9.0, spread, spread, 1, 0, {}, [50, 90, 99, 100, 200, 300, 110, 200, 350])
    assert leaking.growth == pytest.approx(0.1)
    assert leaking.floor_growth == pytest.approx(0.1)
