"""Labs in network namespaces, with real packets. Needs root; it removes the namespaces that it makes."""

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent

import pytest

from sim.lab import netns, process, runner, state, wire
from sim.lab.check import address_of, check
from sim.lab.errors import LabError, LabIsDown, LabIsUp
from sim.lab.probe import Measurement, measure
from sim.lab.state import LabState

MS = 1_000_000
WAIT_S = 120.0
UDP_SEGMENT = 103  # linux/udp.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
SOL_UDP = 17

TOPOLOGY = """
    name: {name}
    topology:
      nodes:
        a:
          kind: linux
          exec:
            - ip address add 10.1.0.1/32 dev lo
            - ip address add fd10:1::1/128 dev lo nodad
            - ip address add fe80::1/64 dev eth1 nodad
            - ip route add 10.1.0.2/32 dev eth1 src 10.1.0.1
            - ip route add fd10:1::2/128 via fe80::2 dev eth1 src fd10:1::1
        b:
          kind: linux
          exec:
            - ip address add 10.1.0.2/32 dev lo
            - ip address add fd10:1::2/128 dev lo nodad
            - ip address add fe80::2/64 dev eth1 nodad
            - ip route add 10.1.0.1/32 dev eth1 src 10.1.0.2
            - ip route add fd10:1::1/128 via fe80::1 dev eth1 src fd10:1::2
      links:
        - endpoints: ["a:eth1", "b:eth1"]
          mtu: 1500
          vars: {{impair: {{delay: 10ms}}}}
    """


@pytest.fixture
def topology(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "ROOT", tmp_path / "run")
    file = tmp_path / "topo.clab.yml"
    file.write_text(dedent(TOPOLOGY.format(name=f"test{os.getpid()}")))
    return file


@pytest.fixture
def lab(topology: Path) -> Iterator[LabState]:
    built = runner.up(topology)
    try:
        # The first packet each way waits for neighbour discovery, which takes a round trip of its own.
        for address in ("10.1.0.2", "fd10:1::2"):
            probe(built, address, count=3)
        yield built
    finally:
        runner.down(built.name)


def probe(
    built: LabState,
    address: str = "10.1.0.2",
    count: int = 50,
    size: int = 64,
    patience_s: float = 1.0,
) -> Measurement:
    source, target = built.namespaces["a"], built.namespaces["b"]
    return measure(source, target, address, count=count, interval_ns=5 * MS, size=size, patience_s=patience_s)


def passes_all(built: LabState, count: int, size: int = 64) -> bool:
    """Whether each probe is answered, however late."""
    return probe(built, count=count, size=size, patience_s=WAIT_S).loss_ratio == 0


def quickest_ns(built: LabState, below_ms: float, address: str = "10.1.0.2") -> int:
    """The quickest of many probes: a busy machine makes them longer, but not all of them for long."""
    found: list[int] = []
    end = time.monotonic() + WAIT_S
    while not found or (min(found) >= below_ms * MS and time.monotonic() < end):
        met = probe(built, address, patience_s=WAIT_S)
        assert met.loss_ratio == 0
        found.append(met.rtt_ns(0.0) or 0)
    assert min(found) < below_ms * MS
    return min(found)


def namespaces_left(built: str) -> list[str]:
    return [name for name in os.listdir("/var/run/netns") if name.startswith(f"{built}-")]


@pytest.mark.parametrize("address", ["10.1.0.2", "fd10:1::2"])
def test_a_link_has_its_delay_in_both_address_families(lab: LabState, address: str) -> None:
    assert 20 * MS <= quickest_ns(lab, 30, address), "never early"


def test_impairments_change_while_the_lab_runs(lab: LabState) -> None:
    runner.impair(lab.name, "a:b", {"delay": "30ms"})
    assert 60 * MS <= (probe(lab).rtt_ns(0.0) or 0)
    runner.impair(lab.name, "a:eth1", {"delay": "5ms", "b->a": {"delay": "10ms"}})
    assert 15 * MS <= quickest_ns(lab, 30)


def test_loss_has_its_ratio(lab: LabState) -> None:
    runner.impair(lab.name, "a:b", {"a->b": {"loss": "30%"}})
    met = probe(lab, count=400, patience_s=5.0)
    model = wire.counters(state.folder(lab.name).control)["a:eth1->b:eth1"]
    assert 0.2 < model["dropped_loss"] / 400 < 0.4
    assert met.loss_ratio == pytest.approx(model["dropped_loss"] / 400, abs=5 / 400)


def test_a_black_hole_in_one_direction_lets_the_other_pass(lab: LabState) -> None:
    runner.impair(lab.name, "a:b", {"blackhole": "b->a"})
    control = state.folder(lab.name).control
    before = wire.counters(control)
    assert probe(lab, count=20).loss_ratio == 1
    after = wire.counters(control)
    assert after["a:eth1->b:eth1"]["delivered"] - before["a:eth1->b:eth1"]["delivered"] >= 20
    assert after["b:eth1->a:eth1"]["dropped_blackhole"] >= 20
    runner.impair(lab.name, "a:b", {"blackhole": False})
    assert passes_all(lab, 20)


def test_packets_above_the_mtu_vanish(lab: LabState) -> None:
    runner.impair(lab.name, "a:b", {"mtu": 1280})
    assert passes_all(lab, 10, size=1280 - 28)
    assert probe(lab, count=10, size=1280 - 27).loss_ratio == 1


@pytest.mark.parametrize("address", ["10.1.0.2", "fd10:1::2"])
def test_a_stream_of_super_frames_survives_loss_duplication_and_corruption(
    lab: LabState, address: str
) -> None:
    words = {"delay": "2ms", "loss": "0.5%", "duplicate": "1%", "corrupt": "0.5%", "rate": "200mbit"}
    runner.impair(lab.name, "a:b", words)
    sent = random.Random(1).randbytes(8_000_000)
    received = hashlib.sha256()
    with ExitStack() as stack:
        with netns.inside(lab.namespaces["b"]):
            server = stack.enter_context(socket.create_server((address, 0), family=family(address)))
        with netns.inside(lab.namespaces["a"]):
            client = stack.enter_context(socket.socket(family(address), socket.SOCK_STREAM))
        server.settimeout(60)
        client.settimeout(60)

        def take() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60)
                while data := connection.recv(1 << 20):
                    received.update(data)

        taking = threading.Thread(target=take)
        taking.start()
        client.connect((address, server.getsockname()[1]))
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        taking.join(60)
    assert received.hexdigest() == hashlib.sha256(sent).hexdigest()
    there = wire.counters(state.folder(lab.name).control)["a:eth1->b:eth1"]
    assert there["malformed"] == there["refused"] == 0
    assert min(there["dropped_loss"], there["duplicated"], there["corrupted"]) > 0
    # A super-frame was cut: no packet on the wire was above the MTU.
    assert there["offered_bytes"] / there["offered"] <= 1500


@pytest.mark.parametrize("address", ["10.1.0.2", "fd10:1::2"])
def test_udp_segments_arrive_as_single_datagrams_and_are_lost_one_by_one(lab: LabState, address: str) -> None:
    datagrams = [number.to_bytes(4, "big") * 250 for number in range(20)]
    datagrams[-1] = datagrams[-1][:300]
    with ExitStack() as stack:
        with netns.inside(lab.namespaces["b"]):
            server = stack.enter_context(socket.socket(family(address), socket.SOCK_DGRAM))
        with netns.inside(lab.namespaces["a"]):
            client = stack.enter_context(socket.socket(family(address), socket.SOCK_DGRAM))
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4_000_000)
        server.bind((address, 0))
        server.settimeout(WAIT_S)
        client.connect(server.getsockname())
        client.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
        client.send(b"".join(datagrams))
        assert [server.recv(65536) for _ in datagrams] == datagrams

        runner.impair(lab.name, "a:b", {"loss": "30%"})
        control = state.folder(lab.name).control
        before = wire.counters(control)["a:eth1->b:eth1"]
        for _ in range(20):
            client.send(b"".join(datagrams))

        def since(name: str) -> int:
            return wire.counters(control)["a:eth1->b:eth1"][name] - before[name]

        end = time.monotonic() + WAIT_S
        while since("delivered") + since("dropped_loss") < 400:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert 0.2 < since("dropped_loss") / 400 < 0.4
        arrived = [server.recv(65536) for _ in range(400 - since("dropped_loss"))]
    assert set(arrived) <= set(datagrams)


def test_a_lab_is_taken_down_whole_and_once(topology: Path) -> None:
    built = runner.up(topology)
    emulator = built.processes[0]
    outsider = process.start("outsider", built.namespaces["a"], ["sleep", "600"], topology.parent / "log")
    assert process.alive(emulator)
    with pytest.raises(LabIsUp):
        runner.up(topology)
    assert runner.down(built.name)
    assert not process.alive(emulator)
    assert not process.alive(outsider)
    assert namespaces_left(built.name) == []
    assert state.labs() == []
    assert not runner.down(built.name)
    with pytest.raises(LabIsDown):
        runner.impair(built.name, "a:b", {"delay": "1ms"})


def test_a_lab_that_cannot_be_built_leaves_nothing_behind(topology: Path) -> None:
    topology.write_text(topology.read_text().replace("fe80::2 dev", "fe80::2 dve"))
    with pytest.raises(LabError, match="ip route add fd10:1::2/128 via fe80::2 dve"):
        runner.up(topology)
    assert namespaces_left(f"test{os.getpid()}") == []
    assert state.labs() == []


def test_a_namespace_of_somebody_else_is_left_alone(topology: Path) -> None:
    name = f"test{os.getpid()}"
    netns.create(f"{name}-b")
    try:
        with pytest.raises(LabError, match=f"{name}-b is there already"):
            runner.up(topology)
        assert namespaces_left(name) == [f"{name}-b"]
    finally:
        netns.remove(f"{name}-b")


def test_expectations_are_judged_and_their_disturbance_is_undone(lab: LabState, topology: Path) -> None:
    topology.with_name("expect.yml").write_text(
        dedent("""
        expect:
          - {name: holds, from: a, to: b, over: underlay, rtt: 20ms..10s, loss: ..0%, probes: 30}
          - {name: too strict, from: a, to: b, over: underlay6, rtt: ..10ms, probes: 30}
          - name: disturbed
            from: a
            to: b
            over: underlay
            probes: 90
            outage: 250ms..400ms
            during: [{link: "a:b", impair: {blackhole: true}}]
          - {name: too large, from: a, to: b, over: underlay, size: 1501, loss: ..0%, probes: 5,
             during: [{link: "a:b", impair: {mtu: 1500}}]}
          - {name: narrow, from: a, to: b, over: underlay6, goodput: 0.1mbit..10mbit, seconds: 1,
             during: [{link: "a:b", impair: {rate: 10mbit}}]}
          - {name: no overlay here, from: a, to: b, loss: ..0%}
          - {name: nobody to kill, from: a, to: b, over: underlay, loss: ..0%, probes: 5, during: [{kill: a}]}
        """)
    )
    verdicts = [(finding.assertion, finding.figure, finding.ok) for finding in check(lab.name)]
    assert verdicts == [
        ("holds", "rtt", True),
        ("holds", "loss", True),
        ("too strict", "rtt", False),
        ("disturbed", "outage", False),
        ("too large", "loss", True),
        ("narrow", "goodput", True),
        ("no overlay here", "answer", False),
        ("nobody to kill", "loss", True),
        ("nobody to kill", "during", False),
    ]
    assert passes_all(lab, 10)


def test_addresses_of_nodes_are_found(lab: LabState) -> None:
    assert address_of(lab, "b", "underlay") == "10.1.0.2"
    assert address_of(lab, "b", "underlay6") == "fd10:1::2"


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
