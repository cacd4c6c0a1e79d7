"""The repair benchmark in small: format, repeatability, and the bounds that few packets can decide."""

import json
import math

import pytest

from tests.bench.repair import bounds, cells, courses, outages

KEYS = {
    *("profile", "rtt_ms", "deadline_ms", "stream", "system", "sent", "residual_loss_pct"),
    *("residual_upper95_pct", "wire_overhead_pct", "added_ms_p50", "added_ms_p99"),
}


def test_a_row_has_the_documented_keys_and_follows_from_the_seed() -> None:
    cell = cells.Cell("5 % iid", 40, 100, "udp-1000pps", 5_000)
    ours, plain = cells.measure(cell, 7)
    assert set(ours) == set(plain) == KEYS
    assert (ours["system"], plain["system"]) == ("overlayd", "plain")
    assert json.loads(json.dumps(ours)) == cells.measure(cell, 7)[0]
    assert cells.measure(cell, 8)[0] != ours
    assert plain["wire_overhead_pct"] == 0
    assert plain["residual_loss_pct"] == pytest.approx(5, abs=1)


@pytest.mark.parametrize("profile", bounds.UDP_BOUNDS)
def test_a_lossy_hop_is_repaired_within_its_bounds(profile: str) -> None:
    cell = cells.Cell(profile, 40, 100, "udp-1000pps", 20_000)
    row = cells.measure(cell, 3)[0]
    residual, overhead = bounds.UDP_BOUNDS[profile]
    most = math.ceil(residual / 100 * row["sent"]) + 3 * (residual > 0)  # a fluke more or less
    assert row["residual_loss_pct"] / 100 * row["sent"] <= most
    assert row["wire_overhead_pct"] <= overhead
    assert row["added_ms_p50"] <= bounds.P50_MS
    assert row["added_ms_p99"] <= 40 + bounds.P99_BEYOND_RTT_MS


def test_nothing_is_added_to_a_full_wire_and_thin_flows_pass_it() -> None:
    cell = cells.Cell(cells.CONGESTED, 40, 100, "voice", 0, "realtime")
    ours, plain = cells.measure(cell, 3)
    assert ours["wire_overhead_pct"] < 1
    assert ours["residual_loss_pct"] == plain["residual_loss_pct"] == 0


def test_repair_follows_the_loss_within_two_seconds() -> None:
    for row in courses.steps(5, 3):
        _, overhead = bounds.STEP_BOUNDS[round(row["loss_pct"], 6)]
        assert row["wire_overhead_pct"] <= overhead
        assert row["residual_loss_pct"] <= 0.02 * (row["loss_pct"] > 0)


def test_hop_by_hop_beats_end_to_end() -> None:
    hop_by_hop, end_to_end = courses.three_hops(20_000, 3)
    assert hop_by_hop["residual_loss_pct"] < end_to_end["residual_loss_pct"]
    assert hop_by_hop["wire_overhead_pct"] < end_to_end["wire_overhead_pct"] / 2
    assert hop_by_hop["added_ms_p99"] < end_to_end["added_ms_p99"]


def test_a_second_path_bridges_outages_and_the_return_keeps_the_order() -> None:
    calm, alone, *lossy = outages.two_paths(30_000, 3)
    assert (calm["second_path"], alone["second_path"]) == (True, False)
    assert calm["residual_loss_pct"] == 0 < alone["residual_loss_pct"]
    assert calm["wire_overhead_pct"] <= 15
    assert calm["reordered_on_return"] == 0
    assert lossy[0]["residual_loss_pct"] < lossy[1]["residual_loss_pct"] / 10


def test_the_upper_bound_is_that_of_the_poisson_distribution() -> None:
    assert cells.upper95(0, 3_000_000) == pytest.approx(2.996e-6 / 3, rel=1e-3)
    assert cells.upper95(1, 1000) == pytest.approx(4.744e-3, rel=1e-3)
    assert cells.upper95(10_000, 1_000_000) == pytest.approx(0.01 + 1.645 * 1e-4, rel=1e-3)
