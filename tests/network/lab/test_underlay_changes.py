"""What routers of the underlay do to datagrams: one carries less from one moment to the next, without a
word; one marks congestion.

Four hosts around a relay. a → b turns narrow behind the relay, c → a before it, r → d is direct; each on a
link of its own, which stays narrow.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sim.lab import process, runner
from sim.lab.sketch import Sketch, Wire
from tests.network.lab import traffic
from tests.network.lab.mesh import MS, Mesh, running, wait_until

NARROW = 1280
HEALED_NS = 5_000 * MS
"""On a busy machine; on a quiet one it is 1 s, and a good part of that is TCP's own patience."""
DATAGRAM = 1300
DROP_AFTER_S = 1.0
SECONDS = 5.0
TOS = {"not-ect": 0b00, "ect1": 0b01, "ect0": 0b10, "ce": 0b11}


@pytest.fixture(scope="module", params=[4, 6], ids=["over-ipv4", "over-ipv6"])
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    sketch = Sketch(
        nodes=("a", "b", "c", "d", "r"),
        wires=tuple(Wire(node, "r") for node in "abcd"),
        controller="r",
        edges={"a": {}, "b": {}, "c": {}, "d": {}, "r": {"relay": True}},
        families=(request.param,),
    )
    with running(tmp_path_factory.mktemp("lab"), f"changes{request.param}", sketch) as mesh:
        for source, target in (("a", "b"), ("c", "a"), ("r", "d")):
            mesh.settle(source, target)
        yield mesh


def flows(mesh: Mesh, source: str, target: str) -> dict[str, Callable[[], traffic.Received]]:
    """Begin streams of all kinds, both families inside."""
    ends = (mesh.namespaces[source], mesh.namespaces[target])
    started: dict[str, Callable[[], traffic.Received]] = {}
    for family in (4, 6):
        address = mesh.overlay(target, family)
        chunks = [bytes(20_000)] * int(SECONDS * 50)
        started[f"TCP, IPv{family}"] = traffic.in_background(
            lambda address=address, chunks=chunks: traffic.stream(*ends, address, chunks, pause_s=0.02)
        )
        for may_be_cut in (False, True):
            name = f"UDP, IPv{family}, {'may be cut' if may_be_cut else 'may not be cut'}"
            started[name] = traffic.in_background(
                lambda address=address, may_be_cut=may_be_cut: traffic.datagrams(
                    *ends, address, size=DATAGRAM, seconds=SECONDS, may_be_cut=may_be_cut
                )
            )
    return started


@pytest.mark.parametrize(
    ("source", "target", "link"),
    [("r", "d", "r:d"), ("a", "b", "r:b"), ("c", "a", "c:r")],
    ids=["direct", "behind-the-relay", "before-the-relay"],
)
def test_an_underlay_that_shrinks_to_1280_in_mid_flow_is_survived(
    mesh: Mesh, source: str, target: str, link: str
) -> None:
    for family in (4, 6):
        mesh.settle(source, target, mesh.overlay(target, family), size=DATAGRAM)
    hops = 1 if source == "r" else 2
    wait_until(lambda: len(mesh.path(source, target)) == hops + 1)
    # Large packets go in one datagram by then, so that there is something to lose.
    mesh.probe(source, target, count=100, size=DATAGRAM)
    started = flows(mesh, source, target)
    time.sleep(DROP_AFTER_S)
    runner.impair(mesh.name, link, {"mtu": str(NARROW)})
    dropped_at = time.monotonic_ns()
    for name, result in started.items():
        received = result()
        gap = received.longest_gap_ns
        print(f"{source} → {target}, {name}: longest silence {gap / MS:.0f} ms")
        assert sum(at > dropped_at for at in received.arrivals) >= 10, name
        assert gap < HEALED_NS, name


def test_marks_of_the_underlay_reach_the_receiver_and_only_those_that_understand_them(mesh: Mesh) -> None:
    """Marked before the relay, carried on by it, written into the inner header at the egress."""
    with ExitStack() as stack:
        mark(mesh, stack, "r", "ce")
        for family in (4, 6):
            address = mesh.overlay("b", family)
            mesh.settle("a", "b", address)
            for sent, arrives in (("ect0", "ce"), ("ect1", "ce"), ("ce", "ce"), ("not-ect", "not-ect")):
                received = traffic.datagrams(
                    mesh.namespaces["a"], mesh.namespaces["b"], address, size=200, seconds=0.3, tos=TOS[sent]
                )
                assert received.marks == {TOS[arrives]}, (family, sent)


def test_a_mark_that_the_transport_does_not_understand_is_a_drop(mesh: Mesh) -> None:
    """RFC 6040, section 4.2."""
    with ExitStack() as stack:
        mark(mesh, stack, "b", "ce", of="not-ect", longer_than=400)
        received = traffic.datagrams(
            mesh.namespaces["a"], mesh.namespaces["b"], mesh.overlay("b"), size=600, seconds=0.3
        )
        assert received.count == 0
    mesh.settle("a", "b", size=600)
    wait_until(lambda: "congestion_marked" in mesh.ctl("b", "status").stdout)


def mark(mesh: Mesh, stack: ExitStack, node: str, ecn: str, *, of: str = "", longer_than: int = 0) -> None:
    """What comes in at a node bears ``ecn`` until the stack ends: what is ECN-capable, or ``of``."""
    which = f"== {of}" if of else "!= not-ect"
    rules = "\n".join(
        f'iifname "eth*" meta l4proto udp meta length > {longer_than} {ip} ecn {which} {ip} ecn set {ecn}'
        for ip in ("ip", "ip6")
    )
    chain = f"chain c {{\ntype filter hook prerouting priority -300\n{rules}\n}}"
    process.run(mesh.namespaces[node], ["nft", f"table inet marks {{\n{chain}\n}}"])
    stack.callback(lambda: process.run(mesh.namespaces[node], ["nft", "delete table inet marks"]))
