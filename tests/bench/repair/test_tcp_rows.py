"""The rows of TCP, as far as they go without a kernel's."""

from typing import Any

import pytest

from tests.bench.repair import tcp
from tests.bench.repair.tcp_hop import Flow, Outcome


def outcome(goodput: float, wire: float) -> Outcome:
    return Outcome((goodput,), wire, (1.0, 2.0), 0.01)


def test_a_row_has_the_documented_keys() -> None:
    found = tcp.row(tcp.CELLS[0], Flow("overlayd", "cubic"), outcome(40.0, 48.0))
    expected = {"profile": "5 % iid", "rtt_ms": 100, "cc": "cubic", "system": "overlayd"}
    assert found == {**expected, "goodput_mbps": 40.0, "wire_per_goodput": 1.2}


@pytest.mark.parametrize(
    ("goodput", "wire", "met"), [(39.0, 47.58, True), (38.9, 40.0, False), (40.0, 49.2, False)]
)
def test_goodput_and_what_it_cost_have_to_be_within_bounds(goodput: float, wire: float, met: bool) -> None:
    rows = [tcp.row(tcp.CELLS[0], Flow("overlayd", "cubic"), outcome(goodput, wire))]
    assert [told for _, told in tcp.verdicts(rows)] == [met]


def test_bbr_is_measured_by_bbr_alone() -> None:
    cell = tcp.CELLS[0]
    rows = [
        tcp.row(cell, Flow("overlayd", "bbr"), outcome(30.0, 36.0)),
        tcp.row(cell, Flow("plain", "bbr"), outcome(31.0, 33.0)),
    ]
    assert [met for _, met in tcp.verdicts(rows)] == [False]


@pytest.mark.parametrize(("share", "met"), [(0.5, True), (0.2, False), (0.8, False)])
def test_a_shared_bottleneck_is_shared(share: float, met: bool) -> None:
    def of(system: str, share: float) -> dict[str, Any]:
        place = {"profile": tcp.CONGESTED, "rtt_ms": 40, "cc": "cubic", "system": system}
        return {**place, "share": share, "redundancy": 0.02, "queue_ms_p50": 50.0}

    assert [told for _, told in tcp.verdicts([of("overlayd", share), of("plain", 0.5)])] == [met]
