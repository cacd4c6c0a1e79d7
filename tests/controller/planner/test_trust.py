"""What is believed of predicted gains."""

import numpy as np

from controller.planner.search import NONE
from controller.planner.trust import Trust

EXPECTED = np.array([[np.nan, 100, 30], [100, np.nan, 30], [30, 30, np.nan]], np.float32)
KEPT = EXPECTED
LOST = np.array([[np.nan, 100, 300], [100, np.nan, 300], [300, 300, np.nan]], np.float32)


def relayed() -> np.ndarray:
    relays = np.full((3, 3, 2), NONE, np.int16)
    relays[0, 1, 0] = relays[1, 0, 0] = 2
    return relays


def after(paid: list[np.ndarray], news: float = 1.0) -> float:
    trust = Trust()
    for came in paid:
        trust.promise(relayed(), EXPECTED)
        trust.learn(came.astype(np.float32), news)
    return trust.share


def test_nothing_is_believed_before_a_horizon_came_due() -> None:
    assert Trust().share == 0.0
    assert after([KEPT] * 2, news=0.3) == 0.0


def test_promises_that_are_kept_are_believed_more_and_more() -> None:
    shares = [after([KEPT] * number) for number in (1, 3, 10)]
    assert 0.2 < shares[0] < shares[1] < shares[2] <= 1.0
    assert shares[2] > 0.85


def test_overlapping_horizons_are_less_evidence() -> None:
    assert after([KEPT] * 4, news=0.3) < after([KEPT] * 4)


def test_what_strays_is_believed_less_than_what_is_kept_as_often() -> None:
    half = (KEPT + LOST) / 2
    assert after([LOST] * 5) == 0.0
    assert after([KEPT, half] * 10) < after([KEPT] * 20)
