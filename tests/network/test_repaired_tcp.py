"""Unmodified TCP through the live engine: repaired over a lossy hop, and beside a plain flow at a bottleneck.

Bounds are generous: the machine is shared. `make bench-repair` has the figures.
"""

from tests.bench.repair.tcp import TcpCell, run
from tests.bench.repair.tcp_hop import Flow

SECONDS = 8.0


def test_cubic_keeps_its_speed_over_a_lossy_hop() -> None:
    cell = TcpCell("5 % iid", 40, rate_mbps=20)
    (plain,), (repaired,) = (
        run(cell, [Flow(carrier, "cubic")], SECONDS).goodput_mbps for carrier in ("plain", "overlayd")
    )
    assert repaired > 3 * plain


def test_a_repaired_flow_and_a_plain_one_share_a_bottleneck() -> None:
    cell = TcpCell("congested 20 Mbit/s", 40, rate_mbps=20)
    outcome = run(cell, [Flow("overlayd", "cubic"), Flow("plain", "cubic")], 2 * SECONDS)
    ours, plain = outcome.goodput_mbps
    assert 0.1 < ours / (ours + plain) < 0.9
    assert outcome.added_ratio < 0.15
