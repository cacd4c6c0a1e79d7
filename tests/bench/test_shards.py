"""The document of `make bench-shards`."""

import pytest

from tests.bench.figures import Cell
from tests.bench.shards import METRICS, STATE, document, name


def cell(count: int, number: int, **values: float) -> Cell:
    every = dict.fromkeys(METRICS, 1.0) | {"udp1400_gbps_no_loss": None, "rtt_us": None} | values
    return Cell(name(count), STATE, number, every)


def test_ratios_are_to_one_shard_of_the_same_round_and_the_least_is_of_throughput() -> None:
    cells = [
        cell(1, 1, tcp1_gbps=2.0),
        cell(2, 1, tcp1_gbps=1.8, cpu_s_per_gb=0.5),
        cell(1, 2, tcp1_gbps=1.0),
        cell(2, 2, tcp1_gbps=0.9, cpu_s_per_gb=0.5),
        Cell(name(4), STATE, 2, None, "it fell over"),
    ]
    found = document(cells, {})
    assert found["rounds"] == 2
    assert found["ratios"]["2"]["tcp1_gbps"] == pytest.approx(0.9)
    assert found["ratios"]["2"]["cpu_s_per_gb"] == 0.5
    assert found["least"] == pytest.approx(0.9)
    assert found["shards"]["4"]["tcp1_gbps"] is None
    assert found["failed"] == ["it fell over"]
