"""Unmodified TCP through the live engine, repaired over a lossy hop.

Judged by a ratio of bytes, ten as a rule; `make bench-repair` has the figures.
"""

from tests.bench.repair.tcp import TcpCell, run
from tests.bench.repair.tcp_hop import Flow

SECONDS = 6.0


def test_cubic_keeps_its_speed_over_a_lossy_hop() -> None:
    cell = TcpCell("5 % iid", 40, rate_mbps=20)
    (plain,), (repaired,) = (
        run(cell, [Flow(carrier, "cubic")], SECONDS).goodput_mbps for carrier in ("plain", "overlayd")
    )
    assert repaired > 3 * plain
