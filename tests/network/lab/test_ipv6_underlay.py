"""An underlay of IPv6 alone, whose far half carries no more than IPv6 must: 1280 bytes.

a and b have no way to each other but over r.
"""

from collections.abc import Iterator

import pytest

from sim.lab import netns, process
from sim.lab.errors import LabError
from sim.lab.sketch import Sketch, Wire
from tests.network.lab.mesh import MS, Mesh, running, wait_until
from tests.network.lab.traffic import arrives_whole

NARROW = 1280
SKETCH = Sketch(
    nodes=("a", "b", "r"),
    wires=(Wire("a", "r"), Wire("r", "b", mtu=NARROW)),
    controller="r",
    edges={
        "a": {},
        "b": {"uplink": [{"name": "isp", "address": "fd10:1::2", "mtu": NARROW}]},
        "r": {"relay": True},
    },
    families=(6,),
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running(tmp_path_factory.mktemp("lab"), "ipv6", SKETCH) as mesh:
        mesh.settle("a", "b")
        yield mesh


def test_hosts_that_have_ipv6_alone_carry_both_families(mesh: Mesh) -> None:
    for node in SKETCH.nodes:
        found = netns.addresses(mesh.namespaces[node])
        underlay = {address for interface, address in found if interface != "overlay0" and "." in address}
        assert underlay == {"127.0.0.1"}
    for address in (mesh.overlay("r", 4), mesh.overlay("r", 6)):
        assert mesh.settle("a", "r", address).rtt_ns(0.0) >= 10 * MS
        assert arrives_whole(mesh.namespaces["a"], mesh.namespaces["r"], address)


def test_hosts_without_a_direct_path_have_a_session_end_to_end_over_a_relay(mesh: Mesh) -> None:
    with pytest.raises(LabError):
        process.run(mesh.namespaces["a"], ["ip", "route", "get", SKETCH.address("b")])
    for address in (mesh.overlay("b", 4), mesh.overlay("b", 6)):
        assert mesh.settle("a", "b", address).rtt_ns(0.0) >= 20 * MS
        assert arrives_whole(mesh.namespaces["a"], mesh.namespaces["b"], address)
    wait_until(lambda: mesh.path("a", "b") == ("a", "r", "b") and mesh.path("b", "a") == ("b", "r", "a"))
    trace = mesh.document("a", "trace", "b")
    assert [(hop["start"], hop["end"], hop["up"]) for hop in trace["hops"]] == [
        ("a", "r", True),
        ("r", "b", True),
    ]


@pytest.mark.parametrize(("source", "target"), [("r", "b"), ("b", "r"), ("a", "b"), ("b", "a")])
def test_ipv6_packets_of_1280_bytes_pass_an_underlay_of_1280(mesh: Mesh, source: str, target: str) -> None:
    """RFC 8200 § 5: what the inner network may rely on is more than one datagram of the underlay holds."""
    mesh.settle(source, target, mesh.overlay(target, 6), size=NARROW - 48)
    assert mesh.ping(source, mesh.overlay(target, 6), size=NARROW) == 10
    # Of the interface's own MTU, as TCP fills it.
    assert mesh.ping(source, mesh.overlay(target, 6), size=1380) == 10
    assert arrives_whole(mesh.namespaces[source], mesh.namespaces[target], mesh.overlay(target, 6))
