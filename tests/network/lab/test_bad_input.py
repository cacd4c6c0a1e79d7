"""What is wrong with input, files or messages is said clearly, and costs no packet of those who run."""

import os
import random
import re
import signal
import socket

import msgspec
import pytest

from overlayd.protocol import engine
from sim.lab import netns
from tests.network.engines import Agent
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh, held_agent, wait_until
from tests.network.sniffer import Sniffer

HERE, THERE = SITES[:2]
PORT = 51900


@pytest.fixture
def mesh(pair: Mesh) -> Mesh:
    wait_until(lambda: all(pair.online(site) for site in SITES[:2]))
    pair.settle(HERE, THERE)
    return pair


# The engine


def test_a_snapshot_that_is_refused_stops_no_packet(mesh: Mesh) -> None:
    stored = mesh.place.node(HERE) / "state/engine/snapshot.json"
    good = msgspec.json.decode(stored.read_bytes().split(b"\n", 1)[1], type=engine.Snapshot)
    bad = msgspec.structs.replace(
        good,
        generation=good.generation + 1,
        links=tuple(msgspec.structs.replace(link, peer=4711) for link in good.links),
    )
    answers: list[engine.Applied | engine.Refused] = []

    def push() -> None:
        with held_agent(mesh, HERE), Agent(mesh.place.node(HERE) / "run/engine.sock") as agent:
            answers.append(agent.apply(bad))

    assert mesh.loses_nothing(HERE, THERE, count=300, act=push)
    (answer,) = answers
    assert isinstance(answer, engine.Refused)
    assert (answer.generation, answer.field) == (bad.generation, "links[0].peer")
    assert "4711" in answer.problem
    assert "snapshot refused field=links[0].peer" in mesh.log(HERE)
    wait_until(lambda: mesh.online(HERE), "the agent comes back")


def junk() -> list[bytes]:
    """Datagrams that nobody has sealed: of every kind, cut short, too long, and of no kind."""
    source = random.Random(1)
    found = [
        bytes([first]) + source.randbytes(size) for first in range(0, 256, 16) for size in (0, 7, 23, 200)
    ]
    for kind, size in ((0x10, 160), (0x20, 108), (0x30, 56), (0x40, 64)):
        whole = bytes([kind, 1 if kind < 0x30 else 0]) + bytes(2) + source.randbytes(size - 4)
        found += [whole, whole[:-1], whole + b"\0", bytes([kind, 99]) + whole[2:]]
    return [*found, b"", source.randbytes(65_000)]


def test_malformed_datagrams_are_counted_by_reason_and_never_answered(mesh: Mesh) -> None:
    before = drops(mesh, HERE)
    sent = junk()
    with netns.inside(mesh.namespaces[THERE]):
        attacker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with attacker, Sniffer(mesh.namespaces[THERE], "eth1") as sniffer:
        attacker.bind((mesh.sketch.address(THERE), 40_000))
        attacker.settimeout(0.5)

        def throw() -> None:
            for datagram in sent:
                attacker.sendto(datagram, (mesh.sketch.address(HERE), PORT))

        assert mesh.loses_nothing(HERE, THERE, count=300, act=throw)
        with pytest.raises(TimeoutError):
            attacker.recv(65536)
    answers = [frame for frame in sniffer.frames if frame[36:38] == (40_000).to_bytes(2, "big")]
    assert answers == []

    def counted() -> bool:
        now = drops(mesh, HERE)
        grown = {reason for reason in now if now[reason] > before.get(reason, 0)}
        return sum(now.values()) - sum(before.values()) >= len(sent) and grown >= EXPECTED

    wait_until(counted, lambda: f"{before} and then {drops(mesh, HERE)}")
    shown = mesh.ctl(HERE, "status").stdout
    assert re.search(r"^dropped +.*\d+ unknown_kind", shown, re.MULTILINE)


EXPECTED = {
    "unknown_kind",
    "truncated",
    "bad_length",
    "unknown_version",
    "bad_mac",
    "unknown_session",
    "reserved",
}


def drops(mesh: Mesh, node: str) -> dict[str, int]:
    return mesh.document(node, "status")["engine"]["drops"]


# Files


def test_an_agent_whose_mesh_was_truncated_loses_no_packet_and_says_so(mesh: Mesh) -> None:
    file = mesh.place.node(HERE) / "state/agent/mesh.json"
    for damage in ("damaged", "of a newer version"):
        before = mesh.pid(HERE, "agent")
        whole = file.read_bytes()

        def act(damage: str = damage, whole: bytes = whole, before: int = before) -> None:
            newer = whole.replace(b'"schema":1', b'"schema":9', 1)
            file.write_bytes(whole[: len(whole) // 2] if damage == "damaged" else newer)
            os.kill(before, signal.SIGKILL)

        assert mesh.loses_nothing(HERE, THERE, count=300, act=act)
        wait_until(lambda: mesh.online(HERE) and mesh.pid(HERE, "agent"))
        assert re.search(rf"state file is {damage} file=\S*/mesh.json", mesh.log(HERE))
    wait_until(lambda: b'"schema":1' in file.read_bytes()[:12], "the mesh is stored again")
    assert b'"schema":9' in file.with_name("mesh.json.newer").read_bytes()[:12]


def test_an_engine_whose_snapshot_was_truncated_comes_up_with_the_one_before(mesh: Mesh) -> None:
    file = mesh.place.node(HERE) / "state/engine/snapshot.json"
    wait_until(lambda: file.with_name("snapshot.previous.json").exists())
    file.write_bytes(file.read_bytes()[:100])
    before = mesh.pid(HERE, "engine")
    with held_agent(mesh, HERE):
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: mesh.pids(HERE, "engine") not in ([], [before]))
        mesh.settle(THERE, HERE)
    assert re.search(r"state file is damaged file=\S*/snapshot.json", mesh.log(HERE))


def test_a_membership_that_was_truncated_stops_the_agent_alone(mesh: Mesh) -> None:
    file = mesh.place.node(HERE) / "state/agent/record.json"
    whole = file.read_bytes()
    previous = file.with_name("record.previous.json")
    kept = previous.read_bytes() if previous.exists() else None
    previous.unlink(missing_ok=True)
    before = mesh.pid(HERE, "agent")

    def act() -> None:
        file.write_bytes(whole[:-7])
        os.kill(before, signal.SIGKILL)

    try:
        assert mesh.loses_nothing(HERE, THERE, count=400, act=act)
        wait_until(lambda: f"{file} is damaged; restore it, or empty" in mesh.log(HERE))
        assert mesh.ctl(HERE, "status").returncode == 3
        assert file.read_bytes() == whole[:-7], "left as it was found"
    finally:
        file.write_bytes(whole)
        if kept is not None:
            previous.write_bytes(kept)
    wait_until(lambda: mesh.online(HERE))


def test_a_configuration_with_an_unknown_key_is_refused_and_the_running_engine_goes_on(mesh: Mesh) -> None:
    file = mesh.place.node(HERE) / "overlayd.toml"
    whole = file.read_text()
    before = mesh.pid(HERE, "agent")

    def act() -> None:
        file.write_text(whole.replace("reconnect_spread", "reconect_spread"))
        os.kill(before, signal.SIGKILL)

    said = f"{file}: agent.reconect_spread: unknown key; did you mean 'reconnect_spread'?"
    try:
        assert mesh.loses_nothing(HERE, THERE, count=400, act=act)
        wait_until(lambda: f"overlayd agent: {said}" in mesh.log(HERE))
    finally:
        file.write_text(whole)
    wait_until(lambda: mesh.online(HERE))
