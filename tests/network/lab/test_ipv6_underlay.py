"""An underlay of IPv6 alone, whose far half carries no more than IPv6 must: 1280 bytes.

a and b have no way to each other but over r.
"""

import pytest

from sim.lab import netns, process
from sim.lab.errors import LabError
from tests.network.lab.conftest import CHAIN, NARROW
from tests.network.lab.mesh import MS, Mesh, wait_until
from tests.network.lab.traffic import arrives_whole


@pytest.fixture
def mesh(chain: Mesh) -> Mesh:
    return chain


def test_hosts_that_have_ipv6_alone_carry_both_families(mesh: Mesh) -> None:
    for node in CHAIN.nodes:
        found = netns.addresses(mesh.namespaces[node])
        underlay = {address for interface, address in found if interface != "overlay0" and "." in address}
        assert underlay == {"127.0.0.1"}
    for address in (mesh.overlay("r", 4), mesh.overlay("r", 6)):
        assert mesh.settle("a", "r", address).rtt_ns(0.0) >= 10 * MS
        assert arrives_whole(mesh.namespaces["a"], mesh.namespaces["r"], address)


def test_hosts_without_a_direct_path_have_a_session_end_to_end_over_a_relay(mesh: Mesh) -> None:
    with pytest.raises(LabError):
        process.run(mesh.namespaces["a"], ["ip", "route", "get", CHAIN.address("b")])
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
