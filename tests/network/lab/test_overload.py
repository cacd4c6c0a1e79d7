"""More is offered than an emulated bottleneck carries.

Judged by what a busy machine does not change; `make bench-overload` measures rates and delays.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.narrow import Bottleneck, Narrow, flood

RATE_MBPS = 50
SECONDS = 14.0
WARM_UP_S = 6.0
MEMORY_MB = 40


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Narrow]:
    if os.geteuid() != 0:
        pytest.fail("makes network namespaces: run as root")
    with Narrow(tmp_path, Bottleneck(rate_bps=RATE_MBPS * 1_000_000)) as narrow:
        yield narrow


def test_a_flood_takes_neither_the_way_of_other_flows_nor_memory(narrow: Narrow) -> None:
    target = narrow.hosts[1].addresses[0]
    outcome = narrow.offer(flood(target, 4 * RATE_MBPS * 1_000_000, SECONDS), SECONDS, WARM_UP_S)
    # What is too much is dropped before the bottleneck, which carries little but what arrives.
    assert outcome.drops["queue_full"] > 1000, outcome
    assert outcome.useful_ratio > 0.8, outcome
    # Were they dropped as the flood is, three of four would be.
    assert outcome.small_received > 0.9 * outcome.small_sent, outcome
    # A full queue would add 250 ms.
    assert outcome.p50_ms < 100, outcome
    assert outcome.rss_peak_mb < outcome.rss_before_mb + MEMORY_MB, outcome
