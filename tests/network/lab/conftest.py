"""The labs that tests share. Sites have names that are long enough to be looked for in captures."""

from collections.abc import Iterator

import pytest

from sim.lab.sketch import Sketch, Wire, full_mesh
from tests.network.lab.mesh import Mesh, running

SITES = ("avocado", "blueberry", "cranberry")
STRANGER = "stranger"
"""A host of the pair's that runs nothing yet."""
TRIANGLE = Sketch(
    nodes=(*SITES, "cloud"),
    wires=(*full_mesh(SITES), *(Wire(site, "cloud") for site in SITES)),
    controller="cloud",
    edges={site: {"relay": True, "engine": {"key_log": True}} for site in SITES},
)
PAIR = Sketch(
    nodes=(*SITES[:2], "cloud", STRANGER),
    wires=(Wire(*SITES[:2]), *(Wire(node, "cloud") for node in (*SITES[:2], STRANGER))),
    controller="cloud",
    edges={SITES[0]: {"agent": {"announce": ["192.168.7.0/24"], "reconnect_spread": 1.0}}, SITES[1]: {}},
)


@pytest.fixture(scope="package")
def triangle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Three sites that relay for each other, a controller apart: for what leaves them as they were."""
    with running(tmp_path_factory.mktemp("lab"), "triangle", TRIANGLE) as mesh:
        mesh.settle_all()
        yield mesh


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Two sites, a controller apart and a stranger: for what is done to files and processes."""
    with running(tmp_path_factory.mktemp("lab"), "pair", PAIR) as mesh:
        mesh.settle_all()
        yield mesh
