"""What follows from a benchmark's figures."""

import pytest

from tests.bench.figures import METRICS, Cell, Rounds, document, order

MACHINE = {"cpu": "one", "cores": 2, "kernel": "6.1", "congestion_control": "bbr"}


def cell(system: str, number: int, value: float, state: str = "on", **others: float | None) -> Cell:
    """A cell whose metrics are all ``value``, but for ``others``."""
    return Cell(system, state, number, dict.fromkeys(METRICS, value) | others)


def test_a_figure_is_the_median_of_its_rounds_beside_its_spread() -> None:
    cells = [cell("overlayd", number, value) for number, value in ((1, 4.0), (2, 1.0), (3, 2.0))]
    on = document(cells, [], MACHINE, {})["offloads"]["on"]
    assert on["systems"]["overlayd"] == dict.fromkeys(METRICS, 2.0)
    assert on["spread"]["overlayd"] == {metric: [1.0, 4.0] for metric in METRICS}


def test_a_document_has_both_states_of_the_offloads_apart() -> None:
    cells = [cell("overlayd", 1, 4.0), cell("overlayd", 1, 2.0, state="off")]
    found = document(cells, [], MACHINE, {})
    assert found["machine"] == MACHINE
    assert found["rounds"] == 1
    assert [found["offloads"][state]["systems"]["overlayd"]["tcp1_gbps"] for state in ("on", "off")] == [4, 2]


def test_a_state_that_was_not_measured_is_left_out() -> None:
    assert list(document([cell("overlayd", 1, 4.0)], [], MACHINE, {})["offloads"]) == ["on"]


def test_what_means_nothing_for_a_system_is_null() -> None:
    on = document([cell("raw", 1, 4.0, cpu_s_per_gb=None)], [], MACHINE, {})["offloads"]["on"]
    assert on["systems"]["raw"]["cpu_s_per_gb"] is None
    assert "cpu_s_per_gb" not in on["spread"]["raw"]


def test_ratios_are_taken_round_by_round() -> None:
    # The second round was slow for everybody: a ratio of the medians would be 2.5.
    cells = [cell("overlayd", 1, 6.0), cell("overlayd", 2, 3.0), cell("overlayd", 3, 5.0)]
    cells += [cell("peer", 1, 2.0), cell("peer", 2, 1.0), cell("peer", 3, 2.5)]
    found = document(cells, ["peer"], MACHINE, {})["ratios"]["on"]
    assert found["tcp1_to_best_peer"] == 3.0
    assert found["tcp4_to_tcp1"] == 1.0


def test_the_best_peer_is_chosen_for_each_metric() -> None:
    cells = [cell("overlayd", 1, 1.0), cell("fast", 1, 8.0), cell("frugal", 1, 2.0)]
    found = document(cells, ["fast", "frugal"], MACHINE, {})
    assert found["best_peers"]["on"]["tcp1_gbps"] == "fast"
    assert found["best_peers"]["on"]["cpu_s_per_gb"] == found["best_peers"]["on"]["rtt_us"] == "frugal"
    assert found["ratios"]["on"]["tcp1_to_best_peer"] == 0.125
    assert found["ratios"]["on"]["cpu_to_best_peer"] == 0.5


def test_neither_references_nor_ourselves_are_peers() -> None:
    cells = [cell("raw", 1, 90.0), cell("bare-loop", 1, 9.0), cell("overlayd", 1, 4.0), cell("peer", 1, 2.0)]
    found = document(cells, ["peer"], MACHINE, {})["ratios"]["on"]
    assert found["tcp1_to_best_peer"] == 2.0
    assert found["tcp1_to_bare_loop"] == pytest.approx(4 / 9, abs=1e-4)


def test_round_trips_are_compared_by_difference() -> None:
    cells = [cell("raw", 1, 10.0), cell("overlayd", 1, 40.0), cell("overlayd-relay1", 1, 65.0)]
    found = document(cells, [], MACHINE, {})["ratios"]["on"]
    assert (found["rtt_added_us"], found["rtt_added_by_relay1_us"]) == (30.0, 25.0)


def test_a_ratio_without_its_parts_is_left_out() -> None:
    assert (
        "tcp1_to_best_peer" not in document([cell("overlayd", 1, 1.0)], ["peer"], MACHINE, {})["ratios"]["on"]
    )
    assert (
        Rounds.of([cell("a", 1, 1.0), cell("b", 2, 1.0)], "on").ratio(("a", "rtt_us"), ("b", "rtt_us"))
        is None
    )


def test_a_failure_is_named_and_has_no_figure() -> None:
    cells = [cell("overlayd", 1, 4.0), Cell("peer", "on", 1, None, "no echo came back\nhost 1: no route")]
    found = document(cells, ["peer"], MACHINE, {"other": "go is not installed"})
    assert list(found["offloads"]["on"]["systems"]) == ["overlayd"]
    assert found["failed"] == {
        "peer": "round 1, offloads on: no echo came back\nhost 1: no route",
        "other": "go is not installed",
    }


def test_a_system_that_fails_once_keeps_the_figures_of_its_other_rounds() -> None:
    cells = [cell("peer", 1, 4.0), Cell("peer", "on", 2, None, "lost")]
    found = document(cells, ["peer"], MACHINE, {})
    assert found["offloads"]["on"]["systems"]["peer"]["tcp1_gbps"] == 4.0
    assert found["failed"] == {"peer": "round 2, offloads on: lost"}


def test_nothing_measured_is_a_document_too() -> None:
    found = document([], [], MACHINE, {"peer": "lost"})
    assert (found["rounds"], found["offloads"], found["failed"]) == (0, {}, {"peer": "lost"})


def test_every_turn_has_all_systems_and_no_system_has_a_place_of_its_own() -> None:
    systems = ["a", "b", "c", "d"]
    turns = [order(systems, turn) for turn in range(8)]
    assert all(sorted(turn) == systems for turn in turns)
    assert {turn[0] for turn in turns} == set(systems) == {turn[-1] for turn in turns}
    assert order([], 3) == []
