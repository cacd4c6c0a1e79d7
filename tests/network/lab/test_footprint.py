"""What agent and engine take of a host's memory. Their processor time: `tools/measure-footprint`."""

import os
from pathlib import Path

import pytest

from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh

MOST_BYTES = 60 * 2**20


@pytest.mark.parametrize("role", ["agent", "engine"])
def test_a_process_on_every_host_is_small(triangle: Mesh, role: str) -> None:
    for site in SITES:
        pages = Path(f"/proc/{triangle.pid(site, role)}/statm").read_text().split()[1]
        assert int(pages) * os.sysconf("SC_PAGE_SIZE") < MOST_BYTES
