"""The repair policy: its formulas, its forecasts against simulation, and what an engine may rely on."""

from dataclasses import replace

import numpy as np
import pytest

from fec.loss import Independent
from fec.policy import (
    LOSS_ROWS,
    RETRY_LIMIT,
    Decision,
    Hop,
    Objective,
    loss_distribution,
    loss_upper_bound,
    plan,
    rounds,
    window,
)

MS = 1_000_000
HOP = Hop(rtt_ns=40 * MS, guard_ns=5 * MS, rate_pps=1000)
INTERACTIVE = Objective(deadline_ns=100 * MS, residual_loss=1e-5)
NO_RETRY = replace(INTERACTIVE, deadline_ns=40 * MS, repair_cap=1.0)


@pytest.mark.parametrize(
    ("deadline_ms", "expected"), [(0, 1), (5, 1), (49, 1), (50, 2), (94, 2), (95, 3), (100, 3), (10_000, 6)]
)
def test_rounds_that_fit_the_deadline(deadline_ms: int, expected: int) -> None:
    assert rounds(HOP, replace(INTERACTIVE, deadline_ns=deadline_ms * MS)) == expected


@pytest.mark.parametrize(
    ("rate_pps", "deadline_ms", "expected"),
    [(1000, 100, 50), (10_000, 100, 128), (0, 100, 1), (50, 60, 4), (50, 20, 2), (100, 100, 5)],
)
def test_windows_span_half_the_deadline_and_thin_flows_all_of_it(
    rate_pps: float, deadline_ms: int, expected: int
) -> None:
    hop, objective = replace(HOP, rate_pps=rate_pps), replace(INTERACTIVE, deadline_ns=deadline_ms * MS)
    assert window(hop, objective) == expected


def test_a_clean_link_pays_nothing() -> None:
    assert loss_upper_bound(0, 50) == 0.0
    decision = plan(HOP, NO_RETRY).row(loss_upper_bound(0, 50))
    assert decision.repair_ratio == 0.0
    table = plan(HOP, INTERACTIVE).row(0.0)
    assert all(extra == 0 for row in table.retry_extra for extra in row)


def test_the_upper_bound_tightens_with_the_sample() -> None:
    assert loss_upper_bound(5, 100) > loss_upper_bound(50, 1000) > loss_upper_bound(500, 10_000) > 0.05
    assert loss_upper_bound(500, 10_000) < 0.054
    assert loss_upper_bound(3, 3) == 1.0


def test_the_upper_bound_holds_for_nearly_all_samples() -> None:
    draws = np.random.default_rng(1).binomial(400, 0.05, 2000)
    covered = sum(loss_upper_bound(int(lost), 400) >= 0.05 for lost in draws)
    assert 0.93 < covered / 2000 < 0.98


def test_independent_losses_are_binomial() -> None:
    table = loss_distribution(20, 0.1, 1.0)
    drawn = np.bincount(np.random.default_rng(2).binomial(20, 0.1, 200_000), minlength=21) / 200_000
    assert table.sum(axis=1) == pytest.approx(np.ones(21))
    assert table[20] == pytest.approx(drawn, abs=0.004)


def test_longer_runs_keep_the_mean_and_widen_the_spread() -> None:
    losses = np.arange(51)
    spread = []
    for run in (1.0, 3.0, 8.0):
        distribution = loss_distribution(50, 0.05, run)[50]
        assert distribution @ losses == pytest.approx(2.5)
        spread.append(float(distribution @ losses**2))
    assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize("objective", [INTERACTIVE, NO_RETRY, replace(INTERACTIVE, deadline_ns=60 * MS)])
def test_more_loss_never_gets_less_repair_until_the_price_is_too_high(objective: Objective) -> None:
    rows = [row for row in plan(HOP, objective).rows if row.residual_loss <= objective.residual_loss]
    assert len(rows) >= 5
    spending = [row.overhead for row in rows]
    assert spending == sorted(spending)


@pytest.mark.parametrize("cap", [0.0, 0.1, 0.2, 1.15])
@pytest.mark.parametrize("deadline_ms", [30, 60, 100])
def test_redundancy_stays_within_the_cap(cap: float, deadline_ms: int) -> None:
    objective = replace(INTERACTIVE, deadline_ns=deadline_ms * MS, repair_cap=cap)
    assert all(row.repair_ratio <= cap for row in plan(HOP, objective).rows)


def test_rows_are_found_by_their_upper_end() -> None:
    table = plan(HOP, INTERACTIVE)
    assert table.row(0.05).loss_ratio == 0.05
    assert table.row(0.0501).loss_ratio == 0.06
    assert table.row(1.0).loss_ratio == LOSS_ROWS[-1]
    assert [row.loss_ratio for row in table.rows] == list(LOSS_ROWS)


def test_retransmission_tables_have_a_row_per_round_and_a_column_per_symbol() -> None:
    for row in plan(HOP, INTERACTIVE).rows:
        assert len(row.retry_extra) == 2
        assert all(len(extras) == RETRY_LIMIT for extras in row.retry_extra)


def test_redundancy_goes_where_it_is_cheap() -> None:
    """With retries left nothing is coded ahead; the last retry is; without any, the first transmission is."""
    retried = plan(HOP, INTERACTIVE).row(0.05)
    assert retried.repair_ratio == 0.0
    assert retried.retry_extra[0][0] > retried.retry_extra[1][0] == 0
    assert plan(HOP, NO_RETRY).row(0.05).repair_ratio >= 0.3


def test_without_coded_retries_the_first_round_makes_up_for_them() -> None:
    plain = plan(HOP, INTERACTIVE, coded_retries=False).row(0.05)
    assert plain.repair_ratio > plan(HOP, INTERACTIVE).row(0.05).repair_ratio
    assert all(extra == 0 for extras in plain.retry_extra for extra in extras)


def test_an_unattainable_target_is_not_bought_at_any_price() -> None:
    outages = replace(HOP, mean_loss_run=30.0)
    dear = plan(outages, replace(NO_RETRY, price_limit=1e9)).row(0.02)
    bounded = plan(outages, replace(NO_RETRY, price_limit=20.0)).row(0.02)
    assert bounded.residual_loss > NO_RETRY.residual_loss
    assert bounded.overhead < dear.overhead / 2


@pytest.mark.parametrize(
    ("objective", "loss_ratio"),
    [
        (replace(INTERACTIVE, residual_loss=2e-3), 0.2),
        (replace(INTERACTIVE, deadline_ns=60 * MS, residual_loss=2e-3), 0.1),
        (replace(NO_RETRY, residual_loss=5e-3), 0.1),
    ],
)
def test_forecasts_agree_with_a_simulation_of_the_rounds(objective: Objective, loss_ratio: float) -> None:
    table = plan(HOP, objective)
    row = table.row(loss_ratio)
    residual, overhead = simulate_rounds(row, table.window, blocks=40_000)
    assert row.residual_loss <= objective.residual_loss
    assert row.residual_loss * 0.8 <= residual <= row.residual_loss * 1.6
    assert overhead == pytest.approx(row.overhead, rel=0.03)


def simulate_rounds(row: Decision, size: int, blocks: int) -> tuple[float, float]:
    """Plays a decision out on independent losses: residual loss and overhead, per source symbol."""
    rng = np.random.default_rng(3)
    lost_for_good = spent = 0
    for _ in range(blocks):
        extra = round(row.repair_ratio * size)
        spent += extra
        missing_sources = int(rng.binomial(size, row.loss_ratio))
        missing = missing_sources + int(rng.binomial(extra, row.loss_ratio)) - extra
        for extras in reversed(row.retry_extra):
            if missing <= 0:
                break
            more = extras[min(missing, RETRY_LIMIT) - 1]
            spent += missing + more
            missing_sources = int(rng.binomial(missing, row.loss_ratio))
            missing = missing_sources + int(rng.binomial(more, row.loss_ratio)) - more
        if missing > 0:
            lost_for_good += missing_sources
    return lost_for_good / (blocks * size), spent / (blocks * size)


@pytest.mark.parametrize("loss_ratio", [0.01, 0.03, 0.05])
def test_a_sliding_window_at_the_planned_ratio_meets_the_objective(loss_ratio: float) -> None:
    """The model takes the window for a block; the real thing has to be no worse."""
    objective = replace(NO_RETRY, residual_loss=1e-3)
    table = plan(HOP, objective)
    lost = Independent(loss_ratio).losses(np.arange(300_000, dtype=np.int64), np.random.default_rng(4))
    delays = ideal_sliding_delays(lost, table.row(loss_ratio).repair_ratio, loss_ratio)
    late = sum(delay > HOP.rate_pps * objective.deadline_ns / 1e9 for delay in delays)
    assert late / lost.size <= objective.residual_loss


def ideal_sliding_delays(
    lost: np.ndarray[tuple[int], np.dtype[np.bool_]], ratio: float, loss: float
) -> list[int]:
    """For every lost symbol, how many symbols later a window without end recovers it.

    It does when as many repair symbols have arrived as symbols are missing.
    """
    rng = np.random.default_rng(5)
    delays: list[int] = []
    waiting: list[int] = []
    repairs, credit = 0, 0.0
    for seq, is_lost in enumerate(lost.tolist()):
        if is_lost:
            waiting.append(seq)
        credit += ratio
        if credit >= 1:
            credit -= 1
            repairs += int(bool(waiting) and rng.random() >= loss)
        if waiting and repairs >= len(waiting):
            delays += [seq - missing for missing in waiting]
            waiting, repairs = [], 0
    return delays
