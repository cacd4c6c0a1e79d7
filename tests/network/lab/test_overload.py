"""More is offered than an emulated bottleneck carries.

Margins are wide: the machine is shared; figures are those of `make bench-overload`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.narrow import Bottleneck, Narrow, flood

RATE_MBPS = 50
SECONDS = 14.0
WARM_UP_S = 6.0
WORST_MS = 60
"""A full queue of the bottleneck would add 250 ms; a busy host adds some of its own."""
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
    assert outcome.goodput_mbps > 0.75 * RATE_MBPS, outcome
    assert outcome.small_received > 0.97 * outcome.small_sent, outcome
    assert outcome.p50_ms < WORST_MS / 4 and outcome.p99_ms < WORST_MS, outcome
    assert outcome.drops["queue_full"] > 1000, outcome
    assert outcome.rss_peak_mb < outcome.rss_before_mb + MEMORY_MB, outcome
