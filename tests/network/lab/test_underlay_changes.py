"""What routers of the underlay do to datagrams: one carries less from one moment to the next, without a
word; one marks congestion.

Four hosts around a relay. a → b turns narrow behind the relay, c → a before it, r → d is direct; each on a
link of its own, which stays narrow.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sim.lab import process, runner
from sim.lab.sketch import Sketch, Wire
from tests.network.lab import traffic
from tests.network.lab.mesh import MS, Mesh, running, wait_until
from tests.network.lab.traffic import Flow

NARROW = 1280
DATAGRAM = 1300
CHUNK = 20_000
BEFORE, AFTERWARDS, MARKED = 20, 100, 50
"""Pieces of a flow, 5 or 20 ms apart. No more than a few are under way at a time."""
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


class Shrinking:
    """When the underlay shrank, as flows that run meanwhile ask for it."""

    def __init__(self) -> None:
        self.at_ns: int | None = None

    def healed(self, received: traffic.Received, _sent: int) -> bool:
        """Whether more has come since than can have been under way; until then, whether anything runs."""
        return self.at_ns is not None and sum(at > self.at_ns for at in received.arrivals) >= AFTERWARDS

    def chunks(self) -> Iterator[bytes]:
        """A stream that goes on for a while after it: not one of these fits into what passes then."""
        left = AFTERWARDS
        while left:
            yield bytes(CHUNK)
            left -= self.at_ns is not None


def flows(mesh: Mesh, source: str, target: str, shrinking: Shrinking) -> dict[str, Flow]:
    """Begin streams of all kinds, both families inside."""
    ends = (mesh.namespaces[source], mesh.namespaces[target])
    started: dict[str, Flow] = {}
    for family in (4, 6):
        address = mesh.overlay(target, family)
        started[f"TCP, IPv{family}"] = Flow(
            lambda received, address=address: traffic.stream(
                *ends, address, shrinking.chunks(), pause_s=0.02, received=received
            )
        )
        for may_be_cut in (False, True):
            name = f"UDP, IPv{family}, {'may be cut' if may_be_cut else 'may not be cut'}"
            started[name] = Flow(
                lambda received, address=address, may_be_cut=may_be_cut: traffic.datagrams(
                    *ends,
                    address,
                    size=DATAGRAM,
                    enough=shrinking.healed,
                    may_be_cut=may_be_cut,
                    received=received,
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
    shrinking = Shrinking()
    started = flows(mesh, source, target, shrinking)
    try:
        wait_until(lambda: all(len(flow.received.arrivals) >= BEFORE for flow in started.values()))
        runner.impair(mesh.name, link, {"mtu": str(NARROW)})
    finally:
        shrinking.at_ns = time.monotonic_ns()
    for name, flow in started.items():
        received = flow.result()
        print(f"{source} → {target}, {name}: longest silence {received.longest_gap_ns / MS:.0f} ms")
        assert sum(at > shrinking.at_ns for at in received.arrivals) >= AFTERWARDS, name
        assert not name.startswith("TCP") or received.ended, name


def test_marks_of_the_underlay_reach_the_receiver_and_only_those_that_understand_them(mesh: Mesh) -> None:
    """Marked before the relay, carried on by it, written into the inner header at the egress."""
    with ExitStack() as stack:
        mark(mesh, stack, "r", "ce")
        for family in (4, 6):
            address = mesh.overlay("b", family)
            mesh.settle("a", "b", address)
            for sent, arrives in (("ect0", "ce"), ("ect1", "ce"), ("ce", "ce"), ("not-ect", "not-ect")):
                received = traffic.datagrams(
                    mesh.namespaces["a"],
                    mesh.namespaces["b"],
                    address,
                    size=200,
                    enough=lambda received, _: len(received.arrivals) >= MARKED,
                    tos=TOS[sent],
                )
                assert received.marks == {TOS[arrives]}, (family, sent)


def test_a_mark_that_the_transport_does_not_understand_is_a_drop(mesh: Mesh) -> None:
    """RFC 6040, section 4.2."""
    with ExitStack() as stack:
        mark(mesh, stack, "b", "ce", of="not-ect", longer_than=400)
        received = traffic.datagrams(
            mesh.namespaces["a"],
            mesh.namespaces["b"],
            mesh.overlay("b"),
            size=600,
            enough=lambda _, sent: sent >= MARKED,
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
