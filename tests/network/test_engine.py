"""Engines in network namespaces, with real packets. Needs root; each test removes what it makes."""

import hashlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from overlayd.protocol import engine
from sim.lab import netns, process
from tests.network.engines import WAIT_S, Agent, Host, connect, make_pair, snapshot

OFFLOADS = ("tun_checksum", "tun_segmentation", "tun_udp_segmentation", "udp_gso", "udp_gro")
TRANSFER_BYTES = 20_000_000
TRIES = 3
"""Where other programs have the cores a link may go down for a moment, but not each time."""


def start_pair(stack: ExitStack, a: Host, b: Host) -> tuple[Agent, Agent]:
    """Two engines whose links are up."""
    make_pair(stack, a, b)
    a.start()
    b.start()
    agents = stack.enter_context(Agent(a.socket)), stack.enter_context(Agent(b.socket))
    for host, other, agent in ((a, b, agents[0]), (b, a, agents[1])):
        assert agent.apply(snapshot(host, [other])) == engine.Applied(1)
    for agent in agents:
        agent.wait_up()
    return agents


def transfer(a: Host, b: Host, address: str, count: int = TRANSFER_BYTES) -> bool:
    """Send random bytes by TCP from ``a`` to ``b``; whether the same ones arrived."""
    data = random.Random(count).randbytes(count)
    received = hashlib.sha256()
    with netns.inside(b.namespace):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = socket.create_server((address, 0), family=family)
    server.settimeout(WAIT_S)

    def receive() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(WAIT_S)
            while piece := connection.recv(1 << 20):
                received.update(piece)

    receiver = threading.Thread(target=receive)
    receiver.start()
    with netns.inside(a.namespace):
        client = socket.socket(family)
    with client, server:
        client.settimeout(WAIT_S)
        client.connect((address, server.getsockname()[1]))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        receiver.join(WAIT_S)
    return received.digest() == hashlib.sha256(data).digest()


def ping(host: Host, target: str, patience_s: float = WAIT_S) -> int:
    """How many of ten echoes came back; 0 without a route."""
    said = host.run(
        "sh",
        "-c",
        f"ping -c 10 -i 0.02 -W {patience_s:.0f} -q {target} 2>&1 || true",
        timeout_s=patience_s + WAIT_S,
    )
    found = re.search(r"(\d+) received", said)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4-underlay", "ipv6-underlay"])
def test_programs_on_two_hosts_reach_each_other(stack: ExitStack, tmp_path: Path, ipv6: bool) -> None:
    a, b = Host(1, tmp_path, ipv6_underlay=ipv6), Host(2, tmp_path, ipv6_underlay=ipv6)
    start_pair(stack, a, b)
    for address in b.addresses:
        assert ping(a, address) == 10
        assert transfer(a, b, address)


@pytest.mark.parametrize("off", [*((name,) for name in OFFLOADS), OFFLOADS], ids=lambda off: "+".join(off))
def test_bytes_arrive_with_an_offload_switched_off_at_one_end(
    stack: ExitStack, tmp_path: Path, off: tuple[str, ...]
) -> None:
    a = Host(1, tmp_path, settings=tuple(f"offload.{name}=false" for name in off))
    b = Host(2, tmp_path)
    start_pair(stack, a, b)
    for address in b.addresses:
        assert transfer(a, b, address, TRANSFER_BYTES // 4)
    for address in a.addresses:
        assert transfer(b, a, address, TRANSFER_BYTES // 4)


def test_offloads_that_fail_in_mid_transfer_are_given_up_and_nothing_else_is(tmp_path: Path) -> None:
    for left in reversed(range(TRIES)):
        folder = tmp_path / str(left)
        folder.mkdir()
        with ExitStack() as stack:
            logs = [host.log.read_text() for host in give_up_offloads(stack, folder)]
        if all("link_state" not in log.partition("state=up")[2] for log in logs):
            break
        assert left, "the session was lost each time"


def give_up_offloads(stack: ExitStack, folder: Path) -> tuple[Host, Host]:
    """Have two offloads fail at both ends of a transfer, which arrives whole."""
    faults = ("fault.tun_segmentation=40", "fault.udp_gso=40")
    a, b = Host(1, folder, settings=faults), Host(2, folder, settings=faults)
    start_pair(stack, a, b)
    for address in b.addresses:
        assert transfer(a, b, address)
    for address in a.addresses:
        assert transfer(b, a, address)
    given_up = {"tun_segmentation_step_downs=1", "udp_gso_step_downs=1"}
    for host in (a, b):
        _wait_for(lambda host=host: given_up <= set(host.log.read_text().split()))
        said = host.log.read_text()
        assert set(re.findall(r"\w+_step_downs=\d+", said)) == given_up
        assert "error" not in said
    return a, b


def test_a_train_of_small_datagrams_arrives_as_it_was_sent(stack: ExitStack, tmp_path: Path) -> None:
    """They are joined for the write at the far end; after a while that fails, and they go singly."""
    a, b = Host(1, tmp_path), Host(2, tmp_path, settings=("fault.tun_segmentation=5",))
    start_pair(stack, a, b)
    for address in b.addresses:
        with netns.inside(b.namespace):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            receiver = socket.socket(family, socket.SOCK_DGRAM)
        with netns.inside(a.namespace):
            sender = socket.socket(family, socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.bind((address, 7000))
            receiver.settimeout(WAIT_S)
            sizes = random.Random(7)
            for _ in range(30):
                train = [
                    bytes([index]) * sizes.choice((64, 64, 64, 64, 63, 65, 1, 0, 1200)) for index in range(40)
                ]
                for data in train:
                    sender.sendto(data, (address, 7000))
                assert [receiver.recv(65_536) for _ in train] == train
    _wait_for(lambda: "tun_udp_segmentation_step_downs=1" in b.log.read_text())
    assert ping(a, b.addresses[0]) == 10


def test_udp_datagrams_keep_their_bounds(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    start_pair(stack, a, b)
    with netns.inside(b.namespace):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with netns.inside(a.namespace):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.bind((b.addresses[0], 7000))
        receiver.settimeout(WAIT_S)
        source = random.Random(7)
        for size in (0, 1, 17, 1200, 1352, 1353, 4000, 30_000):
            data = source.randbytes(size)
            sender.sendto(data, (b.addresses[0], 7000))
            assert receiver.recv(65_536) == data


def test_an_engine_comes_up_with_its_last_snapshot_and_needs_no_agent(
    stack: ExitStack, tmp_path: Path
) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    make_pair(stack, a, b)
    running = a.start()
    b.start()
    with Agent(a.socket) as agent_a, Agent(b.socket) as agent_b:
        agent_a.apply(snapshot(a, [b], generation=5))
        agent_b.apply(snapshot(b, [a]))
        agent_b.wait_up()
    process.kill(running)
    assert ping(b, a.addresses[0], patience_s=1) == 0
    a.start()
    with Agent(b.socket) as agent_b:
        agent_b.wait_up()
    assert ping(b, a.addresses[0]) == 10
    with Agent(a.socket) as agent_a:
        assert agent_a.welcome.generation == 5
        assert agent_a.welcome.boot == 2
        assert agent_a.welcome.public_key == a.public_key


def test_a_refused_snapshot_is_named_by_field_and_changes_nothing(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    agent, _ = start_pair(stack, a, b)
    good = snapshot(a, [b], generation=2)
    link = msgspec.structs.replace(good.links[0], peer=77)
    refused = agent.apply(msgspec.structs.replace(good, links=(link,)))
    assert isinstance(refused, engine.Refused)
    assert (refused.generation, refused.field) == (2, "links[0].peer")
    malformed = json.loads(msgspec.json.encode(good))
    malformed["links"][0]["mtu"] = "large"
    agent.send_raw(json.dumps({"type": "apply", "snapshot": malformed}).encode())
    refused = agent.answer()
    assert isinstance(refused, engine.Refused)
    assert (refused.generation, refused.field) == (2, "links[0].mtu")
    assert ping(a, b.addresses[0]) == 10
    with Agent(a.socket) as agent:
        assert agent.welcome.generation == 1


def test_the_host_follows_snapshots_and_is_left_as_it_was(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path, announced=("10.77.0.0/16", "192.0.2.0/25", "fd77::/32"))
    make_pair(stack, a, b)

    def shown() -> str:
        tables = a.run("sh", "-c", "ip address; ip route; ip -6 route; sysctl net.ipv4.ip_forward")
        return tables.replace(" tentative", "")  # the kernel's own doing on the underlay

    before = shown()
    running = a.start()
    with Agent(a.socket) as agent:
        agent.apply(snapshot(a, [b]))
        routes = a.run("sh", "-c", f"ip route show dev {a.interface}; ip -6 route show dev {a.interface}")
        for prefix in ("10.90.0.2", "10.77.0.0/16", "fd77::/32"):
            assert f"{prefix} proto 79" in routes
        assert "192.0.2.0/25" not in routes  # b's own underlay address is in it
        assert "src 10.90.0.1" in routes
        link = a.run("ip", "link", "show", a.interface)
        assert "mtu 1380" in link
        assert "UP" in link

        b.announced = ()
        b.prefixes = b.prefixes[:2]
        a.prefixes = (*a.prefixes, "10.66.0.0/16")
        agent.apply(snapshot(a, [b], generation=2))
        assert "10.77.0.0/16" not in a.run("ip", "route")
        assert "10.90.0.2" in a.run("ip", "route")
        assert a.run("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"
    process.stop([running])
    assert shown() == before
    assert not a.socket.exists()


def test_a_machine_behind_a_host_uses_the_overlay(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path, announced=("10.77.0.0/24", "fd77::/64"))
    start_pair(stack, a, b)
    machine = f"{b.namespace}-lan"
    netns.create(machine)
    stack.callback(netns.remove, machine)
    netns.add_veth((b.namespace, "lan"), (machine, "eth0"), mtu=1500)
    for address, network, gateway in (
        ("10.77.0.9/24", "10.77.0.1/24", "10.77.0.1"),
        ("fd77::9/64", "fd77::1/64", "fd77::1"),
    ):
        nodad = ["nodad"] if ":" in address else []
        b.run("ip", "address", "add", network, "dev", "lan", *nodad)
        process.run(machine, ["ip", "address", "add", address, "dev", "eth0", *nodad])
        process.run(machine, ["ip", "route", "add", "default", "via", gateway])
    netns.wait_for_carrier(machine, WAIT_S)
    behind = Host(9, tmp_path)
    behind.namespace = machine
    for address in ("10.77.0.9", "fd77::9"):
        assert ping(a, address) == 10
        assert transfer(a, behind, address, 1_000_000)


def test_a_new_agent_takes_the_place_of_the_old_one(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    make_pair(stack, a, b)
    a.start()
    with Agent(a.socket) as old, Agent(a.socket) as new:
        with pytest.raises(EOFError):
            old.next()
        assert new.apply(snapshot(a, [b])) == engine.Applied(1)


def test_a_connection_that_says_nothing_disturbs_nobody(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    make_pair(stack, a, b)
    a.start()
    with Agent(a.socket) as agent, connect(a.socket) as silent:
        with connect(a.socket) as rude:
            rude.sendall(b"\xff\xff\xff\xff")
            assert rude.recv(1) == b""
        assert agent.apply(snapshot(a, [b])) == engine.Applied(1)
        assert silent.recv(1) == b""


def test_session_keys_go_to_their_file_and_not_to_the_agent(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path, settings=("engine.key_log=true",)), Host(2, tmp_path)
    make_pair(stack, a, b)
    a.start()
    b.start()
    agent_a, agent_b = stack.enter_context(Agent(a.socket)), stack.enter_context(Agent(b.socket))
    agent_b.apply(snapshot(b, [a]))
    agent_a.send(engine.Apply(snapshot(a, [b])))
    while not isinstance(message := agent_a.next(), engine.LinkState):
        assert not isinstance(message, engine.KeyLog)
    keys = a.state / "engine" / "keys.jsonl"
    assert keys.stat().st_mode & 0o777 == 0o600
    lines = [msgspec.json.decode(line, type=engine.KeyLog) for line in keys.read_bytes().splitlines()]
    assert {line.scope for line in lines} >= {"hop"}
    assert all(len(bytes.fromhex(line.key)) == 32 for line in lines)
    assert not (b.state / "engine" / "keys.jsonl").exists()


def test_an_idle_engine_sleeps(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    make_pair(stack, a, b)
    running = a.start()
    b.start()
    with Agent(a.socket) as agent_a, Agent(b.socket) as agent_b:
        agent_a.apply(snapshot(a, [b]))
        agent_b.apply(snapshot(b, [a]))
        agent_a.wait_up()
    # Of CPU time, to the nanosecond: how busy the machine is with others shows in it only a little.
    before, since = _cpu_s(running.pid), time.monotonic()
    assert before > 0.05, "a whole interpreter has started here"
    time.sleep(10)
    assert (_cpu_s(running.pid) - before) / (time.monotonic() - since) < 0.01


def _cpu_s(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


@pytest.mark.parametrize(
    ("before", "message", "code"),
    [
        (
            ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "-"],
            "/dev/net/tun",
            1,
        ),
        (["setpriv", "--bounding-set=-net_admin"], "CAP_NET_ADMIN is missing", 1),
    ],
    ids=["no-tun", "no-capability"],
)
def test_what_the_host_lacks_is_said(
    stack: ExitStack, tmp_path: Path, before: list[str], message: str, code: int
) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    make_pair(stack, a, b)
    assert _fails(a, [*before, *a.command()]) == (code, message)


def test_an_uplink_that_cannot_be_bound_is_named(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    make_pair(stack, a, b)
    with netns.inside(a.namespace):
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with taken:
        taken.bind((a.underlay, 51900))
        assert _fails(a, a.command(), "is in use by another program")[0] == 1
    a.run("ip", "address", "flush", "dev", "wan")
    assert _fails(a, a.command(), "no interface of this host has the address")[0] == 1


def test_a_second_engine_is_refused(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    make_pair(stack, a, b)
    a.start()
    with Agent(a.socket):
        assert _fails(a, a.command(), "another engine is running")[0] == 1
        other = ["--set", f"node.state_dir={tmp_path / 'other'}"]
        a.config.write_text(a.config.read_text().replace("port = 51900", "port = 51901"))
        assert _fails(a, [*a.command(), *other], f"interface {a.interface} exists already")[0] == 1


def _fails(host: Host, command: list[str], message: str = "") -> tuple[int, str]:
    """Exit code and, of the words that were said, those looked for."""
    done = subprocess.run(
        ["ip", "netns", "exec", host.namespace, *command],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert lines, done
    assert "Traceback" not in done.stderr, done.stderr
    for words in (message, "/dev/net/tun", "CAP_NET_ADMIN is missing"):
        if words and words in lines[-1]:
            return done.returncode, words
    pytest.fail(f"not said: {message!r}, but {done.stderr!r}")


def test_run_keeps_both_processes_and_a_dead_agent_costs_no_packet(stack: ExitStack, tmp_path: Path) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    start_pair_of_one_supervised(stack, a, b)
    supervisor = process.start("run1", a.namespace, a.command("run"), a.log)
    with Agent(b.socket) as agent:
        agent.wait_up()
    _wait_for(lambda: ping(a, b.addresses[0], patience_s=1) == 10)
    agents = _children(supervisor.pid, "agent")
    engines = _children(supervisor.pid, "engine")
    assert len(agents) == len(engines) == 1
    echoes = subprocess.Popen(
        [
            "ip",
            "netns",
            "exec",
            a.namespace,
            "ping",
            "-c",
            "1000",
            "-i",
            "0.002",
            "-W",
            "60",
            "-q",
            b.addresses[0],
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    os.kill(agents[0], signal.SIGKILL)
    said, _ = echoes.communicate(timeout=WAIT_S)
    assert "1000 received" in said
    _wait_for(lambda: len(_children(supervisor.pid, "agent")) == 1)
    assert _children(supervisor.pid, "agent") != agents
    assert _children(supervisor.pid, "engine") == engines
    process.stop([supervisor])
    assert netns.processes(a.namespace) == []


def start_pair_of_one_supervised(stack: ExitStack, a: Host, b: Host) -> None:
    """``a`` has its snapshot on disk and no process; ``b`` runs and knows ``a``."""
    make_pair(stack, a, b)
    first = a.start()
    with Agent(a.socket) as agent:
        agent.apply(snapshot(a, [b]))
    process.stop([first])
    b.start()
    with Agent(b.socket) as agent:
        agent.apply(snapshot(b, [a]))


def _children(pid: int, role: str) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if f"\0{role}\0" in Path(f"/proc/{child}/cmdline").read_text()]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
