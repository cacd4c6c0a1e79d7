"""A short soak: all kinds of traffic at once, both ways, compared byte for byte. Needs root.

The long one is `make soak`.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.bench.ground import Ground
from tests.bench.overlay import OVERLAYS
from tests.soak import transfer

ROOT = Path(__file__).parents[2]
BYTES = 60_000_000


@pytest.fixture(scope="module")
def program() -> Path:
    if os.geteuid() != 0:
        pytest.fail("makes network namespaces: run as root")
    build = ["cargo", "build", "--locked", "--quiet", "--package", "overlayd-io", "--example", "soak_load"]
    subprocess.run(build, cwd=ROOT / "engine", check=True)
    return ROOT / "engine" / "target" / "debug" / "examples" / "soak_load"


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads-on", "offloads-off"])
def test_traffic_of_all_kinds_arrives_as_it_was_sent(program: Path, tmp_path: Path, offloads: bool) -> None:
    with Ground(2, offloads, tmp_path) as ground:
        OVERLAYS[0].start(ground, str)
        transfer.prepare(ground)
        for seed, addresses in ((1, ("10.90.0.1", "10.90.0.2")), (100, ("fd90::1", "fd90::2"))):
            transfers = transfer.run(ground, program, addresses, BYTES, seed)
            transfer.check(transfers, BYTES)
        ground.check_alive()
