"""Hosts that may not become members, or not this way: what they are told; the members notice nothing."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sim.lab import netns, process, runner
from tests.network.lab.conftest import SITES, STRANGER
from tests.network.lab.mesh import Mesh, program, wait_until

HERE, THERE = SITES[:2]
DENIED, CONFLICT, USAGE, UNREACHABLE = 5, 7, 2, 3
TAKEN = "192.168.7.0/24"
"""HERE announces it."""


@dataclass
class Host:
    """A host with engine and agent that has not joined."""

    mesh: Mesh
    folder: Path

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [program("overlayctl"), *words, "--socket", str(self.folder / "overlayd.sock")]
        with netns.inside(self.mesh.namespaces[STRANGER]):
            return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    def refused(self, token: str) -> tuple[int, str]:
        """Try to join; answers the exit code and what was said."""
        done = self.ctl("join", token)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1), done
        assert done.stderr.startswith("overlayctl: ")
        assert json.loads(self.ctl("status", "-o", "json").stdout)["state"] == "not-joined"
        assert not (self.folder / "agent/record.json").exists()
        return done.returncode, done.stderr


@contextmanager
def a_host(
    mesh: Mesh, folder: Path, name: str = STRANGER, announce: tuple[str, ...] = (), more: str = ""
) -> Iterator[Host]:
    """Run a host in the stranger's place."""
    config = folder / "overlayd.toml"
    config.write_text(
        f'[node]\nname = "{name}"\nstate_dir = "{folder}"\nruntime_dir = "{folder}"\n'
        f'[[uplink]]\nname = "isp"\naddress = "{mesh.sketch.address(STRANGER)}"\n'
        f"[agent]\nannounce = {json.dumps(announce)}\nreconnect_spread = 1.0\n{more}"
    )
    command = [program("overlayd"), "run", "--config", str(config)]
    running = process.start(name, mesh.namespaces[STRANGER], command, folder / "log")
    host = Host(mesh, folder)
    try:
        wait_until(lambda: '"connected": true' in host.ctl("status", "-o", "json").stdout)
        yield host
    finally:
        process.stop([running])


def token(mesh: Mesh, name: str = STRANGER, *words: str) -> str:
    return mesh.controller("token", "create", "--name", name, *words).splitlines()[0]


@pytest.fixture
def mesh(pair: Mesh) -> Iterator[Mesh]:
    """The pair, whose members have lost no member and no word with each other at the end."""
    wait_until(lambda: all(pair.online(site) for site in SITES[:2]))
    yield pair
    pair.settle(HERE, THERE)
    assert [peer["node"] for peer in pair.ask(HERE, "status")["peers"]] == [THERE]


def test_a_token_is_for_one_host_once_and_not_for_long(mesh: Mesh, tmp_path: Path) -> None:
    short = token(mesh, STRANGER, "--ttl", "1s")
    expires = time.monotonic() + 1.1
    with a_host(mesh, tmp_path) as host:
        code, said = host.refused("ovl1_no-token")
        assert code == USAGE
        code, said = host.refused(token(mesh, "somebody"))
        assert (code, "this token is for the node 'somebody', not 'stranger'" in said) == (DENIED, True), said
        time.sleep(max(0.0, expires - time.monotonic()))
        code, said = host.refused(short)
        assert (code, "this token expired" in said) == (DENIED, True), said
        good = token(mesh)
        assert host.ctl("join", good).returncode == 0
        assert "has joined as stranger" in host.ctl("join", good).stderr
        assert host.ctl("leave").returncode == 0
        code, said = host.refused(good)
        assert (code, "this token was used already" in said) == (DENIED, True), said
    wait_until(lambda: len(mesh.ask(HERE, "status")["peers"]) == 1)


def test_who_left_joins_again_and_who_is_removed_is_out(mesh: Mesh, tmp_path: Path) -> None:
    def engine(host: Host) -> dict[str, Any]:
        return json.loads(host.ctl("status", "-o", "json").stdout)["engine"]

    with a_host(mesh, tmp_path) as host:
        for again in range(3):
            before = engine(host)["generation"]
            assert host.ctl("join", token(mesh)).returncode == 0
            wait_until(lambda before=before: engine(host)["generation"] > before, lambda: engine(host))
            wait_until(lambda: len(mesh.ask(HERE, "status")["peers"]) == 2)
            assert engine(host).get("problem") is None
            if again < 2:
                assert host.ctl("leave").returncode == 0
            else:
                mesh.controller("node", "remove", STRANGER)
                wait_until(lambda: json.loads(host.ctl("status", "-o", "json").stdout)["state"] == "revoked")
            wait_until(lambda: len(mesh.ask(HERE, "status")["peers"]) == 1)


def test_a_name_that_a_member_has_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    with a_host(mesh, tmp_path, name=HERE) as host:
        code, said = host.refused(token(mesh, HERE))
    assert code == CONFLICT
    assert f"a node named '{HERE}' exists" in said
    assert f"overlayd-controller node remove {HERE}" in said, "what to do"


def test_an_address_that_a_member_has_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    with a_host(mesh, tmp_path, announce=(TAKEN,)) as host:
        code, said = host.refused(token(mesh, STRANGER, "--prefix", TAKEN))
        assert code == CONFLICT
        assert TAKEN in said and HERE in said, said
        own = mesh.overlay(THERE)
    with a_host(mesh, tmp_path, announce=(f"{own}/32",)) as host:
        code, said = host.refused(token(mesh, STRANGER, "--prefix", f"{own}/32"))
    assert code != 0
    assert f"{own}/32" in said


def test_a_copied_identity_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir(mode=0o700)
    shutil.copy(mesh.place.node(HERE) / "state/engine/identity.key", tmp_path / "engine/identity.key")
    with a_host(mesh, tmp_path) as host:
        code, said = host.refused(token(mesh))
    assert code == CONFLICT
    assert f"'{HERE}' has this engine's key; each host makes its own" in said


def test_a_host_whose_controller_is_not_there_says_so_and_joins_once_it_is(
    mesh: Mesh, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(token(mesh))
    link = f"{STRANGER}:cloud"
    runner.impair(mesh.name, link, {"blackhole": True})
    try:
        with a_host(mesh, tmp_path, more=f'join_token_file = "{tmp_path / "token"}"\n') as host:
            code, said = host.refused(token(mesh))
            assert code == UNREACHABLE
            assert f"wss://{mesh.sketch.address('cloud')}:7443: no answer in time" in said
            runner.impair(mesh.name, link, {"blackhole": False})
            assert host.ctl("join", "-").returncode == USAGE
            wait_until(lambda: '"state": "online"' in host.ctl("status", "-o", "json").stdout)
            assert host.ctl("leave").returncode == 0
    finally:
        runner.impair(mesh.name, link, {"blackhole": False})
    wait_until(lambda: len(mesh.ask(HERE, "status")["peers"]) == 1)
