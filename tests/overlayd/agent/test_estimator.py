"""Estimates of links and paths: only fresh samples count, and little evidence proves little."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from overlayd.agent.estimator import LINK_STALE_NS, LONG_NS, STALE_NS, Estimator, RepairFigures, loss_floor
from overlayd.model.ids import LinkId
from overlayd.protocol import engine
from tests.overlayd.agent.dialogue import BERLIN, ROME, SECOND, link_report, path_report

LINK = LinkId(1)


def fed(*rtts_ms: float, **changes: Any) -> tuple[Estimator, int]:
    """An estimator with one report a second, and the time of the last."""
    estimator, now = Estimator(), 0
    for rtt in rtts_ms:
        now += SECOND
        estimator.note_links([link_report(LINK, BERLIN, rtt, **changes)], now)
    return estimator, now


def test_short_and_long_window_tell_now_from_usual() -> None:
    estimator, now = fed(*[20.0] * 30, 100.0, 100.0, 100.0)
    estimate = estimator.link(LINK, now)
    assert estimate is not None
    assert (estimate.rtt_ms, estimate.rtt_long_ms, estimate.rtt_low_ms) == (100.0, 20.0, 20.0)
    assert estimate.rtt_short_ms is not None and estimate.rtt_short_ms > 75


def test_a_link_without_a_new_sample_is_no_evidence() -> None:
    estimator, now = fed(20.0)
    assert estimator.link(LINK, now + LINK_STALE_NS) is not None
    assert estimator.link(LINK, now + LINK_STALE_NS + 1) is None


def test_a_repeated_report_without_samples_does_not_keep_an_estimate_alive() -> None:
    estimator, now = fed(20.0)
    for _ in range(13):
        now += SECOND
        estimator.note_links([link_report(LINK, BERLIN, 20.0, samples=0)], now)
    assert estimator.link(LINK, now) is None


def test_old_samples_leave_the_long_window() -> None:
    estimator, now = fed(5.0)
    now += LONG_NS + SECOND
    estimator.note_links([link_report(LINK, BERLIN, 50.0)], now)
    estimate = estimator.link(LINK, now)
    assert estimate is not None and estimate.rtt_low_ms == 50.0


def test_an_idle_link_keeps_its_short_window_between_its_reports() -> None:
    estimator, now = fed(20.0, 20.0)
    estimator.note_links([link_report(LINK, BERLIN, 40.0, loss=0.5, samples=5)], now + 5 * SECOND)
    estimator.note_links([link_report(4, ROME, 1)], now + 9 * SECOND)
    estimate = estimator.link(LINK, now + 9 * SECOND)
    assert estimate is not None and (estimate.rtt_short_ms, estimate.loss_ratio) == (40.0, 0.5)


def test_a_link_that_does_not_exist_any_more_is_forgotten() -> None:
    estimator, now = fed(20.0)
    estimator.keep(())
    assert estimator.link(LINK, now) is None and not estimator.is_up(LINK)


def test_the_best_link_lives_and_is_preferred() -> None:
    estimator = Estimator()
    links = [link_report(1, BERLIN, 20, up=False), link_report(2, BERLIN, 90), link_report(3, BERLIN, 20)]
    estimator.note_links([*links, link_report(4, ROME, 1)], SECOND)
    preference = {LinkId(1): 0, LinkId(2): 10, LinkId(3): 11, LinkId(4): 0}
    assert estimator.best_link(BERLIN, preference) == 2
    estimator.note_link_state(LinkId(2), up=False)
    assert estimator.best_link(BERLIN, preference) == 3
    estimator.note_link_state(LinkId(3), up=False)
    assert estimator.best_link(BERLIN, preference) is None
    assert estimator.all_down(BERLIN) and not estimator.all_down(ROME)


def test_repair_figures_are_of_the_last_minute() -> None:
    def report(sent: int, repair: int, received: int, recovered: int, lost: int) -> engine.LinkReport:
        counts = engine.RepairReport(0, sent, 0, repair, received, 0, recovered, lost)
        return link_report(LINK, BERLIN, 20.0, repair=(counts,))

    estimator = Estimator()
    estimator.note_links([report(1000, 0, 1000, 0, 500)], SECOND)
    estimator.note_links([report(2000, 100, 1920, 70, 510)], 2 * SECOND)
    repair = estimator.repair(LINK, 0, 2 * SECOND)
    assert repair is not None
    assert repair.repair_ratio == pytest.approx(0.1)
    assert repair.recovered_ratio == pytest.approx(70 / 1000)
    assert repair.lost_ratio == pytest.approx(10 / 1000)
    assert estimator.repair(LINK, 3, 2 * SECOND) is None


def test_the_delay_that_repair_adds_is_a_quantile_of_all_that_came() -> None:
    def told(received: int, waits: dict[int, int]) -> RepairFigures:
        counts = tuple(waits.get(end, 0) for end in (*engine.WAITS_MS, 0))
        report = engine.RepairReport(0, 0, 0, 0, received, sum(counts), 0, 0, 1, 3, counts)
        estimator = Estimator()
        estimator.note_links([link_report(LINK, BERLIN, 20.0, repair=(report,))], SECOND)
        found = estimator.repair(LINK, 0, SECOND)
        assert found is not None
        return found

    few = told(995, {50: 5})
    assert (few.added_p50_ms, few.added_p99_ms, few.burst_length) == (0, 0, 3)
    some = told(90, {40: 5, 50: 5})
    assert some.added_p50_ms == 0
    assert some.added_p99_ms == pytest.approx(48)  # the fourth of five between 40 and 50
    most = told(10, {5: 80, 0: 10})
    assert most.added_p50_ms == pytest.approx(2 + 3 * 40 / 80)
    assert most.added_p99_ms == 1000, "longer than the last end"


def test_path_estimates_are_kept_apart_by_class_and_path() -> None:
    estimator = Estimator()
    estimator.note_paths([path_report((BERLIN,), 30, True), path_report((ROME, BERLIN), 45, False)], SECOND)
    direct = estimator.path(BERLIN, 0, (BERLIN,), SECOND)
    relayed = estimator.path(BERLIN, 0, (ROME, BERLIN), SECOND)
    assert direct is not None and direct.rtt_ms == 30 and relayed is not None and relayed.rtt_ms == 45
    assert estimator.path(BERLIN, 1, (BERLIN,), SECOND) is None
    assert estimator.active_path(BERLIN, 0, SECOND) == (BERLIN,)
    assert estimator.active_path(BERLIN, 0, SECOND + STALE_NS + 1) is None


def test_one_lost_probe_of_two_proves_little_and_eight_of_a_hundred_do() -> None:
    assert loss_floor(0.5, 2) < 0.2
    assert loss_floor(0.08, 100) > 0.05
    assert loss_floor(0.08, 10_000) > 0.075
    assert loss_floor(0.0, 1000) == 0.0


@given(st.floats(0, 1), st.floats(0.1, 1e6))
def test_a_floor_is_a_ratio_and_never_above_what_was_seen(ratio: float, count: float) -> None:
    assert 0.0 <= loss_floor(ratio, count) <= ratio


@given(st.lists(st.tuples(st.floats(0.1, 5000), st.floats(0, 1), st.integers(0, 50)), max_size=100))
def test_estimates_lie_within_what_was_measured(samples: list[tuple[float, float, int]]) -> None:
    estimator, now = Estimator(), 0
    for rtt, loss, count in samples:
        now += SECOND
        estimator.note_links([link_report(LINK, BERLIN, rtt, loss=loss, samples=count)], now)
    estimate = estimator.link(LINK, now)
    fresh = [rtt for rtt, _, count in samples if count > 0]
    if estimate is None:
        assert not any(count for _, _, count in samples[-5:])
        return
    assert estimate.rtt_low_ms is not None and estimate.rtt_long_ms is not None
    assert min(fresh) - 1 <= estimate.rtt_low_ms <= estimate.rtt_long_ms <= max(fresh) + 1


def test_rates_are_of_the_last_seconds_and_of_one_count() -> None:
    def report(sent: int, received: int) -> engine.LinkReport:
        return structs.replace(link_report(LINK, BERLIN, 20.0), sent_bytes=sent, received_bytes=received)

    estimator = Estimator()
    assert estimator.rates(LINK, 0) is None
    estimator.note_links([report(0, 0)], SECOND)
    assert estimator.rates(LINK, SECOND) is None, "one report is no rate"
    for second, sent in ((2, 1_000_000), (3, 2_000_000), (6, 2_125_000)):
        estimator.note_links([report(sent, sent // 2)], second * SECOND)
    assert estimator.rates(LINK, 6 * SECOND) == pytest.approx((1e6 / 3, 5e5 / 3)), "what is older is over"
    assert estimator.rates(LINK, 6 * SECOND + LINK_STALE_NS + 1) is None
    estimator.note_links([report(0, 0)], 7 * SECOND)
    assert estimator.rates(LINK, 7 * SECOND) is None, "the engine counts anew"
