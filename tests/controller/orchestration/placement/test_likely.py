"""What experience says of bounds: noisy lines by what is usual, steps by the last sample."""

import numpy as np
import pytest

from controller.orchestration.placement.likely import Likely

FRAME_S = 15.0
NONE = np.full((3, 3), np.nan, np.float32)


def frame(ms: float, to: int = 1) -> np.ndarray:
    rtt_ms = NONE.copy()
    rtt_ms[0, to] = ms
    return rtt_ms


def fed(samples: list[float], bound: float = 100.0) -> Likely:
    likely = Likely(3)
    likely.ask([(0, bound)])
    for number, ms in enumerate(samples):
        likely.observe(frame(ms), number * FRAME_S)
        likely.expect(NONE, NONE)
    return likely


def chance(likely: Likely, to: int = 1, bound: float = 100.0) -> float:
    return float(likely.expect(NONE, NONE)[0, bound][to])


def test_what_was_never_measured_is_not_known() -> None:
    likely = fed([80.0])
    assert np.isnan(chance(likely, to=2))
    assert Likely(3).expect(NONE, NONE) == {}


def test_a_line_that_is_always_within_is_expected_to_be() -> None:
    assert chance(fed([80.0] * 40)) == pytest.approx(1.0, abs=0.02)
    assert chance(fed([120.0] * 40)) == pytest.approx(0.0, abs=0.02)


def test_on_a_noisy_line_the_last_sample_says_little() -> None:
    rng = np.random.default_rng(1)
    samples = np.where(rng.random(400) < 0.6, 80.0, 120.0).tolist()
    assert chance(fed([*samples, 120.0])) == pytest.approx(0.6, abs=0.15)
    assert chance(fed([*samples, 80.0])) == pytest.approx(0.6, abs=0.15)


def test_on_a_line_that_steps_the_last_sample_says_most() -> None:
    samples = ([80.0] * 60 + [120.0] * 60) * 4
    assert chance(fed([*samples, 80.0, 80.0])) > 0.8
    assert chance(fed([*samples, 80.0, 80.0, 120.0, 120.0])) < 0.3


def test_a_forecast_that_was_right_is_listened_to() -> None:
    """The line changes at random; the forecast always knows."""
    rng = np.random.default_rng(2)
    likely = Likely(3)
    likely.ask([(0, 100.0)])
    ms = 80.0
    for number in range(600):
        if number % 10 == 0:
            ms = float(rng.choice([80.0, 120.0]))
        likely.observe(frame(ms), number * FRAME_S)
        if number % 10 == 9:
            ahead = float(rng.choice([80.0, 120.0]))
            likely.expect(frame(ahead), np.ones((3, 3), np.float32))
            for step in range(1, 10):
                likely.observe(frame(ahead), (number + step / 10) * FRAME_S)
    likely.observe(frame(120.0), 601 * FRAME_S)
    told = likely.expect(frame(80.0), np.ones((3, 3), np.float32))[0, 100.0][1]
    other = likely.expect(frame(120.0), np.ones((3, 3), np.float32))[0, 100.0][1]
    assert told > other


def test_questions_come_and_go_and_what_stays_keeps_its_experience() -> None:
    likely = fed([80.0] * 40)
    likely.ask([(0, 50.0), (0, 100.0)])
    assert chance(likely) == pytest.approx(1.0, abs=0.02)
    assert np.isnan(chance(likely, bound=50.0))
    likely.observe(frame(80.0), 41 * FRAME_S)
    assert chance(likely, bound=50.0) < 0.5
    likely.ask([])
    assert likely.expect(NONE, NONE) == {}


def test_nodes_that_come_and_go_leave_the_others_their_experience() -> None:
    likely = fed([80.0] * 40)
    likely.renumber(np.array([1, 0, -1]))
    told = likely.expect(NONE, NONE)
    assert set(told) == {(1, 100.0)}
    assert told[1, 100.0][0] == pytest.approx(1.0, abs=0.02)
    assert np.isnan(told[1, 100.0][2])
    likely.renumber(np.array([0, 2]))
    assert likely.expect(np.full((2, 2), np.nan, np.float32), np.full((2, 2), np.nan, np.float32)) == {}
