"""Engines of several shards in network namespaces, with real packets. Needs root."""

import os
import random
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from overlayd.model.service import DEFAULT_CLASSES
from overlayd.protocol import engine
from sim.lab import netns
from tests.bench.ground import Ground
from tests.bench.overlay import chain_snapshot
from tests.network.engines import WAIT_S, Agent, Host, make_pair, snapshot

FLOWS = 24
FLOW_BYTES = 400_000
TURNS = 20


def start_pair(
    stack: ExitStack, directory: Path, shards: tuple[int, int], lanes_up: int
) -> tuple[list[Host], list[Agent]]:
    """Two engines of which so many lanes are up."""
    hosts = [Host(number, directory, shards=count) for number, count in enumerate(shards, 1)]
    a, b = hosts
    make_pair(stack, a, b)
    a.start()
    b.start()
    agents = [stack.enter_context(Agent(host.socket)) for host in hosts]
    for host, other, agent in zip(hosts, (b, a), agents, strict=True):
        assert agent.welcome.shards == host.shards
        assert agent.apply(snapshot(host, [other])) == engine.Applied(1)
    for agent in agents:
        agent.wait_up(lanes_up)
    return hosts, agents


def exchange(a: Host, b: Host, addresses: tuple[str, str]) -> None:
    """Have many TCP flows carry bytes both ways at once, and check what arrives."""
    data = random.Random(7).randbytes(FLOW_BYTES)
    with netns.inside(b.namespace):
        server = socket.create_server((addresses[1], 0), backlog=FLOWS)
    server.settimeout(WAIT_S)
    arrived: list[bytes] = []

    def both_ways(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(WAIT_S)
            sending = threading.Thread(target=connection.sendall, args=(data,))
            sending.start()
            pieces: list[bytes] = []
            missing = FLOW_BYTES
            while missing and (piece := connection.recv(min(missing, 1 << 20))):
                pieces.append(piece)
                missing -= len(piece)
            sending.join(WAIT_S)
            arrived.append(b"".join(pieces))

    threads: list[threading.Thread] = []
    with server:
        for _ in range(FLOWS):
            with netns.inside(a.namespace):
                client = socket.socket()
            client.settimeout(WAIT_S)
            client.connect((addresses[1], server.getsockname()[1]))
            for end in (client, server.accept()[0]):
                threads.append(threading.Thread(target=both_ways, args=(end,)))
                threads[-1].start()
        for thread in threads:
            thread.join(WAIT_S)
    assert len(arrived) == 2 * FLOWS
    assert all(piece == data for piece in arrived)


def echoes(a: Host, b: Host) -> int:
    """How many datagrams came back, of one a turn in each of many flows; nobody sends one again."""
    with netns.inside(b.namespace):
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.bind((b.addresses[0], 7007))

    def answer() -> None:
        while True:
            said, where = far.recvfrom(2048)
            if not said:
                return
            far.sendto(said, where)

    answering = threading.Thread(target=answer)
    answering.start()
    back = 0
    with far, ExitStack() as sockets:
        sockets.callback(answering.join, WAIT_S)
        sockets.callback(_wake, far)
        near: list[socket.socket] = []
        with netns.inside(a.namespace):
            for _ in range(FLOWS):
                near.append(sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        for turn in range(TURNS):
            for number, one in enumerate(near):
                one.settimeout(WAIT_S)
                one.sendto(b"%d %d" % (turn, number), far.getsockname())
            for number, one in enumerate(near):
                try:
                    back += one.recv(2048) == b"%d %d" % (turn, number)
                except TimeoutError:
                    return back
        return back


def _wake(waiting: socket.socket) -> None:
    """Have who reads from a socket read nothing."""
    with suppress(OSError):  # what it calls an unconnected one
        waiting.shutdown(socket.SHUT_RD)


def carried(agent: Agent, shards: int, asked: int | None = None) -> dict[int, int]:
    """Packets read from the interface by each shard, as all of them count from a moment on: now."""
    asked = asked or time.monotonic_ns()
    found: dict[int, int] = {}
    while len(found) < shards:
        match agent.next():
            case engine.Counters(at_ns=at, lane=lane, counters=counters) if at >= asked:
                found[lane] = counters.packets_in
            case _:
                pass
    return found


@pytest.mark.parametrize("shards", [(1, 1), (2, 2), (4, 4), (1, 4), (4, 2)], ids=str)
def test_many_flows_both_ways_arrive_by_as_many_lanes_as_both_have(
    stack: ExitStack, tmp_path: Path, shards: tuple[int, int]
) -> None:
    lanes = min(shards)
    (a, b), agents = start_pair(stack, tmp_path, shards, lanes)
    assert echoes(a, b) == echoes(b, a) == FLOWS * TURNS
    exchange(a, b, (a.addresses[0], b.addresses[0]))
    asked = time.monotonic_ns()
    for agent, count in zip(agents, shards, strict=True):
        packets = carried(agent, count, asked)
        with_traffic = [lane for lane, number in packets.items() if number > 100]
        assert all(lane < lanes for lane in with_traffic), packets
        assert len(with_traffic) >= min(lanes, 2), packets


def test_nothing_is_lost_where_a_firewall_lets_only_the_first_port_pass(
    stack: ExitStack, tmp_path: Path
) -> None:
    hosts = [Host(number, tmp_path, shards=2) for number in (1, 2)]
    a, b = hosts
    make_pair(stack, a, b)
    b.run(
        "sh",
        "-c",
        "nft add table ip t && nft 'add chain ip t in { type filter hook input priority 0; }' && "
        "nft add rule ip t in udp dport 51901 drop",
    )
    a.start()
    b.start()
    agents = [stack.enter_context(Agent(host.socket)) for host in hosts]
    for host, other, agent in zip(hosts, (b, a), agents, strict=True):
        agent.apply(snapshot(host, [other]))
    for agent in agents:
        agent.wait_up(1)
    assert echoes(a, b) == echoes(b, a) == FLOWS * TURNS
    packets = carried(agents[0], 2)
    assert packets[0] > FLOWS * TURNS
    assert packets[1] == 0


def test_a_path_has_as_many_lanes_as_the_relay_and_loses_nothing(stack: ExitStack, tmp_path: Path) -> None:
    ground = stack.enter_context(Ground(3, offloads=True, directory=tmp_path))
    hosts = [Host(number, tmp_path, shards=shards) for number, shards in ((1, 4), (2, 2), (3, 4))]
    agents: list[Agent] = []
    for host, namespace in zip(hosts, ground.namespaces, strict=True):
        host.namespace = namespace
        host.write_files()
        host.start()
    for host in hosts:
        agents.append(stack.enter_context(Agent(host.socket)))
        assert agents[-1].apply(chain_snapshot(host, hosts, DEFAULT_CLASSES[0])) == engine.Applied(1)
    for agent, lanes in zip(agents, (2, 4, 2), strict=True):
        agent.wait_up(lanes)
    a, _, b = hosts
    assert echoes(a, b) == echoes(b, a) == FLOWS * TURNS
    # The first flows find no session end to end in the second lane, and go by the first.
    end, packets = time.monotonic() + WAIT_S, {0: 0, 1: 0}
    while min(packets[0], packets[1]) <= TURNS:
        assert time.monotonic() < end, packets
        assert echoes(a, b) == FLOWS * TURNS
        packets = carried(agents[0], 4)
    assert packets[2] == packets[3] == 0


def test_a_killed_engine_comes_back_with_all_its_shards(stack: ExitStack, tmp_path: Path) -> None:
    (a, b), agents = start_pair(stack, tmp_path, (2, 2), 2)
    assert echoes(a, b) == FLOWS * TURNS
    for pid in set(netns.processes(b.namespace)) - {os.getpid()}:
        os.kill(pid, signal.SIGKILL)
    agents[0].wait_down(2)
    b.start()
    agents[0].wait_up(2)
    # With its last tables, and without its agent.
    assert echoes(a, b) == FLOWS * TURNS
    packets = carried(agents[0], 2)
    assert min(packets.values()) > 100, packets


def test_a_snapshot_that_one_shard_would_refuse_is_in_force_in_none(stack: ExitStack, tmp_path: Path) -> None:
    (a, b), agents = start_pair(stack, tmp_path, (2, 2), 2)
    refused = agents[0].apply(snapshot(a, [b], generation=0))
    assert isinstance(refused, engine.Refused)
    assert refused.field == "generation"
    assert echoes(a, b) == FLOWS * TURNS
