"""The unit whole: manifests in, processes out, and nothing lost when it is killed."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.enrolment.records import Signer
from overlayd.daemon.files import write_checked
from overlayd.daemon.state import AgentState, Membership
from overlayd.model.ids import NodeId
from overlayd.model.node import NodeRecord
from overlayd.workload import cache
from tests.overlayd.workload.pods import pod

PATIENCE_S = 60.0
SERVER = [
    sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "$(PORT)",
]  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Generator["Host"]:
    made = Host(tmp_path)
    yield made
    made.clean_up()


class Host:
    """A host that is no member of a network and runs what a folder says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        self.file = folder / "overlayd.toml"
        self.file.write_text(
            f'[node]\nstate_dir = "{folder}/state"\nruntime_dir = "{folder}/run"\n'
            '[[uplink]]\nname = "u"\naddress = "127.0.0.1"\n'
            f'[workload]\nmanifests = "{self.manifests}"\ndocker = "{folder}/no.sock"\n'
        )

    @contextmanager
    def unit(self) -> Generator[subprocess.Popen[bytes]]:
        """One life; it is killed at the end unless it has ended before."""
        command = [sys.executable, "-m", "overlayd.cli.daemon", "workload", "--config", str(self.file)]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def want(self, name: str, command: list[str], port: int = 0, **more: Any) -> None:
        ports = [{"name": "web", "containerPort": 80, "hostPort": port}] if port else []
        container = {"name": "main", "command": command, "ports": ports, **more}
        text = json.dumps({"kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}})
        (self.manifests / f".{name}").write_text(text)
        (self.manifests / f".{name}").rename(self.manifests / f"{name}.json")

    def shown(self, name: str) -> Any:
        """The status of a pod's container; None: there is none."""
        try:
            pods = json.loads((self.folder / "run/workload/pods.json").read_bytes())
        except FileNotFoundError:
            return None
        return next((one["status"]["containerStatuses"][0] for one in pods if one["name"] == name), None)

    def runs(self, name: str) -> bool:
        """Whether a pod is ready, so that all of it is on disk by now."""
        return bool((self.shown(name) or {}).get("ready"))

    def waits(self, name: str) -> str:
        """Why a pod's container has not been started; empty: it has, or nothing is known of it."""
        return ((self.shown(name) or {}).get("state") or {}).get("waiting", {}).get("reason", "")

    def clean_up(self) -> None:
        for file in self.folder.glob("state/workload/pods/*/*/*/run.json"):
            keeper = json.loads(file.read_bytes())["keeper"]
            if str(file.parent).encode() in _command_of(keeper):
                os.kill(keeper, signal.SIGUSR1)


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False


def soon(what: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_manifest_is_served_through_kills_and_stops_of_the_unit_without_a_restart(host: Host) -> None:
    port = free_port()
    ready = {"readinessProbe": {"httpGet": {"port": "web"}}}
    host.want("web", SERVER, port, **ready)
    with host.unit():
        soon(lambda: host.runs("web"))
        assert answers(port)
        before = host.shown("web")
    assert answers(port), "the unit was killed"
    with host.unit() as process:
        host.want("other", ["sleep", "1000"])
        soon(lambda: host.runs("other"))
        assert host.shown("web") == before
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert answers(port), "the unit was stopped"
    host.want("web", [*SERVER, "--directory", "/"], port, **ready)
    with host.unit():
        soon(lambda: (host.shown("web") or {}).get("restartCount") == 1)
        (host.manifests / "web.json").unlink()
        soon(lambda: host.shown("web") is None)
        assert not answers(port)


def test_containers_say_why_not_and_processes_run(host: Host) -> None:
    host.want("image", [], image="a")
    host.want("plain", ["sleep", "1000"])
    with host.unit():
        soon(lambda: host.runs("plain"))
        soon(lambda: host.waits("image") == "RuntimeUnavailable")
        waiting = host.shown("image")["state"]["waiting"]
    assert "no.sock" in waiting["message"] or "Python package" in waiting["message"]


def test_a_second_unit_on_the_same_state_is_refused(host: Host) -> None:
    host.want("plain", ["sleep", "1000"])
    with host.unit():
        soon(lambda: host.runs("plain"))
        with host.unit() as second:
            assert second.wait(PATIENCE_S) == 1
    assert "another `overlayd workload` runs" in (host.folder / "log").read_text()


def test_a_host_that_joins_meanwhile_is_started_anew_as_that_node(host: Host) -> None:
    agent = host.folder / "state/agent"
    agent.mkdir(parents=True)
    host.want("plain", ["sleep", "1000"])
    with host.unit() as process:
        soon(lambda: host.runs("plain"))
        signer = Signer(Ed25519PrivateKey.generate())
        record = NodeRecord(NodeId(7), "rome", "00" * 32, ("100.64.0.9",), ("100.64.0.9/32",), True, 2**40)
        membership = Membership("wss://127.0.0.1:1", signer.public_hex, signer.sign_record(record))
        AgentState(agent).save_membership(membership)
        assert process.wait(PATIENCE_S) == 0
    with host.unit():
        soon(lambda: "node=rome address=100.64.0.9" in (host.folder / "log").read_text())
        soon(lambda: host.runs("plain"))
        assert host.shown("plain")["restartCount"] == 0


def test_what_a_host_wanted_as_a_member_is_not_run_by_one_that_is_none(host: Host) -> None:
    state = host.folder / "state/workload"
    state.mkdir(parents=True)
    write_checked(state / "desired.json", cache.SCHEMA, msgspec.json.encode((pod("old"),)))
    host.want("plain", ["sleep", "1000"])
    with host.unit():
        soon(lambda: host.runs("plain"))
        assert host.shown("old") is None
