"""An underlay of IPv4 alone: a host with two uplinks, a narrow link, a machine that knows nothing of it all.

m is behind a, which has two ways to b; c is beyond b, over a link of 1280 bytes.
"""

import hashlib
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.lab import netns, process, runner
from sim.lab.sketch import Sketch, Wire
from tests.network.lab.mesh import MS, Mesh, running, wait_until
from tests.network.lab.traffic import Flow, arrives_whole, stream

NARROW = 1280
SKETCH = Sketch(
    nodes=("a", "b", "c"),
    wires=(
        Wire("a", "b"),
        Wire("a", "b", {"delay": "8ms"}),
        Wire("m", "a", {"delay": "0ms"}),
        Wire("b", "c", mtu=NARROW),
    ),
    controller="b",
    edges={
        "a": {
            "uplink": [{"name": "isp1", "address": "10.1.0.1"}, {"name": "isp2", "address": "10.1.0.11"}],
            "agent": {"announce": ["192.168.7.0/24"]},
        },
        "b": {"relay": True},
        "c": {"uplink": [{"name": "isp", "address": "10.1.0.3", "mtu": NARROW}]},
    },
    commands={
        "a": [
            "ip address add 10.1.0.11/32 dev lo",
            # Each uplink has a line of its own: packets leave by that which their address belongs to.
            "ip route add 10.1.0.2/32 dev eth2 src 10.1.0.11 table 11",
            "ip rule add from 10.1.0.11 table 11",
            "ip address add 192.168.7.1/24 dev eth3",
        ],
        "b": ["ip route add 10.1.0.11/32 dev eth2 src 10.1.0.2"],
        "m": ["ip address add 192.168.7.2/24 dev eth1", "ip route add default via 192.168.7.1"],
    },
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running(tmp_path_factory.mktemp("lab"), "ipv4", SKETCH) as mesh:
        mesh.settle("a", "b")
        mesh.settle("b", "c")
        yield mesh


def test_hosts_that_have_ipv4_alone_carry_both_families(mesh: Mesh) -> None:
    for node in SKETCH.nodes:
        found = netns.addresses(mesh.namespaces[node])
        underlay = {address for interface, address in found if interface != "overlay0" and ":" in address}
        assert {address for address in underlay if not address.startswith("fe80:")} == {"::1"}
    for address in (mesh.overlay("b", 4), mesh.overlay("b", 6)):
        assert mesh.settle("a", "b", address).rtt_ns(0.0) >= 10 * MS
        assert arrives_whole(mesh.namespaces["a"], mesh.namespaces["b"], address)


@pytest.mark.parametrize(("source", "target"), [("b", "c"), ("c", "b")])
def test_ipv6_packets_of_1280_bytes_pass_an_underlay_of_1280(mesh: Mesh, source: str, target: str) -> None:
    address = mesh.overlay(target, 6)
    mesh.settle(source, target, address, size=NARROW - 48)
    assert mesh.ping(source, address, size=NARROW) == 10
    assert arrives_whole(mesh.namespaces[source], mesh.namespaces[target], address)


def test_a_machine_without_an_agent_uses_the_mesh_through_its_edge(mesh: Mesh, tmp_path: Path) -> None:
    data = random.Random(7).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(data)
    assert mesh.settle("m", "b").rtt_ns(0.0) >= 10 * MS
    assert mesh.settle("b", "m", "192.168.7.2").rtt_ns(0.0) >= 10 * MS
    assert mesh.ping("m", mesh.overlay("b"), size=84) == 10
    server = [sys.executable, "-m", "http.server", "8080", "--directory", str(tmp_path)]
    running = process.start("web", mesh.namespaces["b"], server, tmp_path / "web.log")
    try:
        url = f"http://{mesh.overlay('b')}:8080/file"
        got = tmp_path / "got"
        command = ["curl", "-sS", "--fail", "--retry", "20", "--retry-connrefused", "--retry-delay", "1"]
        process.run(mesh.namespaces["m"], [*command, "--max-time", "60", "-o", str(got), url])
    finally:
        process.stop([running])
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(data).digest()


def test_a_host_with_two_uplinks_goes_on_when_one_dies(mesh: Mesh) -> None:
    wait_until(lambda: links_up(mesh) == ["isp1", "isp2"])
    cut = threading.Event()

    def cut_first_line() -> None:
        runner.impair(mesh.name, "a:eth1", {"blackhole": True})
        cut.set()

    chunks = [bytes([number % 251]) * 2000 for number in range(300)]
    address = mesh.overlay("b")
    ends = (mesh.namespaces["a"], mesh.namespaces["b"])
    going = Flow(lambda received: stream(*ends, address, chunks, pause_s=0.01, received=received))
    try:
        met = mesh.probe("a", "b", count=500, act=cut_first_line)
        received = going.result()
        assert cut.is_set()
        wait_until(lambda: links_up(mesh) == ["isp2"])
        mesh.settle("a", "b")
    finally:
        runner.impair(mesh.name, "a:eth1", {"blackhole": False})
    assert received.digest == hashlib.sha256(b"".join(chunks)).hexdigest()
    assert met.outage_ns > 0, "the line was in use"


def links_up(mesh: Mesh) -> list[str]:
    return sorted(row["uplink"] for row in mesh.ask("a", "links")["links"] if row["up"])
