"""What the users of the demo's app say of it."""

import pytest

from sim.appdemo.figures import Asked, between, failed, p99_ms, read, seconds_until_within
from sim.appdemo.story import ASKING, BOUND_MS, ENOUGH, Findings


def asked(*times_ms: float, every_s: float = 0.1) -> list[Asked]:
    return [Asked(100.0 + at * every_s, ms / 1e3, "v1") for at, ms in enumerate(times_ms)]


def test_a_line_is_an_answer_or_a_failure() -> None:
    assert read("12.5 0.004 v2\n") == Asked(12.5, 0.004, version="v2")
    assert read("12.5 15.0 !TimeoutError('x y')\n") == Asked(12.5, 15.0, problem="TimeoutError('x y')")


def test_a_stretch_ends_before_its_end() -> None:
    assert len(between(asked(*[1.0] * 10), 100.0, 100.5)) == 5


def test_one_slow_answer_of_a_hundred_is_the_99th_percentile() -> None:
    assert p99_ms(asked(*[5.0] * 99, 80.0)) == pytest.approx(80.0)
    assert p99_ms(asked(*[5.0] * 199, 80.0)) == pytest.approx(5.0)


def test_no_answer_is_the_slowest() -> None:
    lost = [*asked(*[5.0] * 50), Asked(105.0, 0.1, problem="refused")]
    assert failed(lost) == 1
    assert p99_ms(lost) == float("inf")


def test_users_are_well_from_the_last_bad_stretch_on() -> None:
    # Bad for two seconds, well for one, bad for one, then well.
    times = [50.0] * 20 + [5.0] * 10 + [50.0] * 10 + [5.0] * 80
    assert seconds_until_within(asked(*times), 100.0, 112.0, 20.0) == pytest.approx(4.0, abs=0.3)


def test_one_slow_moment_among_many_good_ones_is_not_a_return_to_bad_times() -> None:
    # Two seconds of a hundred requests are bad, later ten at once of 3,600.
    times = [50.0] * 200 + [5.0] * 1000 + [50.0] * 10 + [5.0] * 2590
    back_s = seconds_until_within(asked(*times, every_s=0.01), 100.0, 138.0, 20.0)
    assert back_s == pytest.approx(2.0, abs=0.01)


def test_users_who_are_well_only_for_a_while_are_not_back() -> None:
    times = [50.0] * 20 + [5.0] * 60 + [50.0] * 20
    assert seconds_until_within(asked(*times), 100.0, 110.0, 20.0) is None


def test_users_who_stay_badly_off_are_never_well() -> None:
    assert seconds_until_within(asked(*[50.0] * 100), 100.0, 110.0, 20.0) is None


def test_promises_that_were_not_kept_are_named() -> None:
    kept = Findings(
        requests=ENOUGH,
        failed_at_node_death=ASKING,
        move_seconds=9.0,
        p99_ms={"before": 99.0, "degraded": 99.0, "after": BOUND_MS},
        offline_restart_ok=True,
        restarts_on_reconnect=0,
    )
    assert kept.shortfalls() == []
    assert "2 requests failed" in Findings(failed=2).shortfalls()[1]
    assert len(Findings().shortfalls()) == 5


def test_users_who_are_badly_off_again_after_the_move_are_a_promise_not_kept() -> None:
    found = Findings(move_seconds=9.0, p99_ms={"after": BOUND_MS + 0.1}, load={"after": 9.4})
    assert "p99 after the move is 20.1 ms at a load of 9.4" in found.shortfalls()
