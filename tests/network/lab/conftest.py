"""The labs that tests share. Sites have names that are long enough to be looked for in captures."""

from collections.abc import Iterator

import pytest

from sim.lab import state
from sim.lab.sketch import Sketch, Wire, full_mesh
from tests.network.lab.mesh import Mesh, running

SITES = ("avocado", "blueberry", "cranberry")
STRANGER = "stranger"
"""A host of the pair's that runs nothing yet."""
TRIANGLE = Sketch(
    nodes=(*SITES, "cloud"),
    wires=(*full_mesh(SITES), *(Wire(site, "cloud") for site in SITES)),
    controller="cloud",
    edges={site: {"relay": True, "agent": {"reconnect_spread": 1.0}} for site in SITES},
)
PAIR = Sketch(
    nodes=(*SITES[:2], "cloud", STRANGER),
    wires=(Wire(*SITES[:2]), *(Wire(node, "cloud") for node in (*SITES[:2], STRANGER))),
    controller="cloud",
    edges={SITES[0]: {"agent": {"announce": ["192.168.7.0/24"], "reconnect_spread": 1.0}}, SITES[1]: {}},
)

NARROW = 1280
CHAIN = Sketch(
    nodes=("a", "b", "r"),
    wires=(Wire("a", "r"), Wire("r", "b", mtu=NARROW)),
    controller="r",
    edges={
        "a": {"engine": {"key_log": True}},
        "b": {"uplink": [{"name": "isp", "address": "fd10:1::2", "mtu": NARROW}]},
        "r": {"relay": True},
    },
    families=(6,),
)


@pytest.fixture(scope="package", autouse=True)
def labs_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is known of labs apart from other labs of this machine."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(state, "ROOT", tmp_path_factory.mktemp("labs"))
        yield


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


@pytest.fixture(scope="package")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Two hosts that meet over a relay alone, on an underlay of IPv6 alone, whose far half is narrow."""
    with running(tmp_path_factory.mktemp("lab"), "chain", CHAIN) as mesh:
        mesh.settle("a", "b")
        yield mesh
