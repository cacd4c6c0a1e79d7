"""`overlayctl netcheck` on hosts before and after joining: each fault is made for real, found, and named."""

import dataclasses
import json
import os
import socket
import subprocess
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sim.lab import daemons, netns, process, runner
from tests.network.lab import nat
from tests.network.lab.mesh import Mesh, program, running, wait_until
from tests.packaging.json_schema import violations
from tools import schemas

MEMBER, OPEN, RESTRICTED, SYMMETRIC = "p1", "p2", "r1", "s1"
OK, FAILED, DEGRADED = 0, 1, 6
SOON = ("--timeout", "1s")
HOST = '[[uplink]]\nname = "isp"\naddress = "0.0.0.0"\nendpoint = "auto"\n'


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The lab of NATs; one host of it is a member, the others run nothing yet."""
    sketch = nat.sketch()
    alone = dataclasses.replace(sketch, edges={MEMBER: sketch.edges[MEMBER]})
    with running(tmp_path_factory.mktemp("lab"), "netcheck", alone) as mesh:
        wait_until(lambda: mesh.online(MEMBER))
        yield mesh


@dataclasses.dataclass
class Said:
    code: int
    document: dict[str, Any]

    def __getitem__(self, check: str) -> dict[str, Any]:
        """One row."""
        (row,) = (row for row in self.document["checks"] if row["check"] == check)
        return row

    @property
    def verdicts(self) -> dict[str, str]:
        return {row["check"]: row["verdict"] for row in self.document["checks"]}


class Checker:
    """Runs netcheck on hosts of a mesh, and holds every answer against the schema."""

    def __init__(self, mesh: Mesh, folder: Path) -> None:
        self.mesh = mesh
        self.file = folder / "overlayd.toml"
        self.file.write_text(HOST)
        self.controller = f"wss://{mesh.sketch.address(nat.CONTROLLER)}:7443"

    def __call__(
        self,
        node: str,
        *words: str,
        before: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        member: bool = False,
    ) -> Said:
        at = str(daemons.agent_socket(self.mesh.place, node)) if member else str(self.file.with_name("none"))
        file = self.mesh.place.node(node) / "overlayd.toml" if member else self.file
        where = words or (() if member else (self.controller,))
        command = [*before, program("overlayctl"), "netcheck", *where, "--json"]
        with netns.inside(self.mesh.namespaces[node]):
            done = subprocess.run(
                [*command, "--config", str(file), "--socket", at],
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
                env={**os.environ, **(environment or {})},
            )
        assert done.stdout, done
        document = json.loads(done.stdout)
        schema = json.loads((schemas.FOLDER / "overlayd.netcheck-1.json").read_text("utf-8"))
        assert violations(document, schema, strict=True) == []
        assert all(row["advice"] for row in document["checks"] if row["verdict"] != "ok"), "what to do"
        return Said(done.returncode, document)


@pytest.fixture
def check(mesh: Mesh, tmp_path: Path) -> Checker:
    return Checker(mesh, tmp_path)


@contextmanager
def firewall(mesh: Mesh, node: str, *chains: str) -> Generator[None]:
    """A table of nftables on a node, for a while."""
    at = mesh.namespaces[node]
    process.run(at, ["nft", f"table ip fault {{ {'; '.join(chains)}; }}"])
    try:
        yield
    finally:
        process.run(at, ["nft", "delete table ip fault"])


@contextmanager
def narrow(mesh: Mesh, host: str) -> Generator[None]:
    """The line between a host's NAT and the router carries 1280 bytes, as both of its ends know."""
    place = len(nat.PUBLIC) + nat.HIDDEN.index(host) + 1
    ends = ((f"nat-{host}", "eth2"), (nat.ROUTER, f"eth{place}"))

    def to(mtu: str) -> None:
        for node, interface in ends:
            process.run(mesh.namespaces[node], ["ip", "link", "set", interface, "mtu", mtu])

    to("1280")
    try:
        yield
    finally:
        to("1500")


def test_a_public_host_that_may_join_has_nothing_to_do(mesh: Mesh, check: Checker) -> None:
    token = mesh.controller("token", "create", "--name", OPEN).splitlines()[0]
    said = check(OPEN, token)
    assert said.code == OK, said
    assert list(said.verdicts) == ["controller", "clock", "tun", "capability", "port", "udp", "nat", "mtu"]
    assert (said["nat"]["nat"], said["mtu"]["mtu"]) == ("none", 1500)
    assert said["nat"]["seen_at"] == f"{mesh.sketch.address(OPEN)}:51900", "asked from the uplink's own port"
    assert abs(said["clock"]["clock_offset_s"]) < 2
    assert said["udp"]["rtt_ms"] >= 20, "four lines of 5 ms"


def test_a_member_asks_its_own_controller_and_knows_what_its_engine_holds(check: Checker) -> None:
    said = check(MEMBER, member=True)
    assert said.code == OK, said
    assert said.document["controller"] == check.controller
    assert "is the engine's" in said["port"]["found"]
    assert "asked from another port" in said["nat"]["found"]


def test_nats_of_both_kinds_are_told_apart(mesh: Mesh, check: Checker) -> None:
    said = check(RESTRICTED)
    assert (said.code, said["nat"]["nat"]) == (OK, "address-restricted"), said
    assert said["nat"]["seen_at"] == f"{nat.outside_of(RESTRICTED)}:51900"
    said = check(SYMMETRIC)
    assert (said.code, said["nat"]["verdict"], said["nat"]["nat"]) == (DEGRADED, "degraded", "symmetric"), (
        said
    )


def test_a_nat_that_opens_to_the_very_port_alone_is_told(mesh: Mesh, check: Checker) -> None:
    news = "iifname eth2 ct state new meta l4proto udp drop"
    with firewall(
        mesh, f"nat-{RESTRICTED}", f"chain on {{ type filter hook prerouting priority -150; {news}; }}"
    ):
        said = check(RESTRICTED)
    assert (said.code, said["nat"]["nat"]) == (OK, "port-restricted"), said


def test_a_firewall_of_a_public_host_that_lets_in_answers_alone_is_told(mesh: Mesh, check: Checker) -> None:
    answers = (
        "chain in { type filter hook input priority 0; ct state established accept; meta l4proto udp drop; }"
    )
    with firewall(mesh, OPEN, answers):
        said = check(OPEN)
    assert (said.code, said["nat"]["verdict"], said["nat"]["nat"]) == (DEGRADED, "degraded", "none"), said
    assert "firewall" in said["nat"]["found"]


def test_blocked_udp_fails(mesh: Mesh, check: Checker) -> None:
    with firewall(mesh, OPEN, "chain out { type filter hook output priority 0; meta l4proto udp drop; }"):
        said = check(OPEN)
    assert (said.code, said["udp"]["verdict"]) == (FAILED, "failed"), said
    assert said["controller"]["verdict"] == "ok", "TCP is another matter"
    assert "nat" not in said.verdicts and "mtu" not in said.verdicts, "nothing is known of them"


def test_udp_that_is_rejected_on_the_way_is_told_as_it_was_said(mesh: Mesh, check: Checker) -> None:
    rejects = "udp dport 7443 reject with icmp host-unreachable"
    rejects = f"chain on {{ type filter hook forward priority 0; {rejects}; }}"
    with firewall(mesh, nat.ROUTER, rejects):
        said = check(OPEN)
    assert (said.code, said["udp"]["verdict"]) == (FAILED, "failed"), said
    assert "No route to host" in said["udp"]["found"]


def test_a_narrow_way_is_found_also_where_icmp_is_dropped(mesh: Mesh, check: Checker) -> None:
    silent = "chain out { type filter hook output priority 0; ip protocol icmp drop; }"
    with narrow(mesh, RESTRICTED):
        with firewall(mesh, f"nat-{RESTRICTED}", silent), firewall(mesh, nat.ROUTER, silent):
            said = check(RESTRICTED, check.controller, *SOON)
        assert (said["mtu"]["verdict"], said["mtu"]["mtu"]) == ("degraded", 1280), said
        assert "vanish without a word of ICMP" in said["mtu"]["found"]
        assert (said.code, "TLS does not" in said["controller"]["found"]) == (FAILED, True), "nor can it join"
        said = check(RESTRICTED)
        assert (said.code, said["mtu"]["verdict"], said["mtu"]["mtu"]) == (DEGRADED, "degraded", 1280), said
        assert "ICMP says that 1280 fit" in said["mtu"]["found"]


@pytest.mark.parametrize(
    ("offset_s", "verdict", "word"),
    [(300, "degraded", "ahead of"), (-300, "degraded", "behind"), (-7200, "failed", "not valid yet")],
)
def test_a_wrong_clock_is_told(
    mesh: Mesh, check: Checker, tmp_path: Path, offset_s: int, verdict: str, word: str
) -> None:
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    source = str(Path(__file__).with_name("clock.c"))
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), source], check=True)
    offset.write_text(str(offset_s))
    said = check(OPEN, environment={"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)})
    assert (said["clock"]["verdict"], word in said["clock"]["found"]) == (verdict, True), said
    assert abs(said["clock"]["clock_offset_s"] - offset_s) < 3
    assert said.code == (FAILED if verdict == "failed" else DEGRADED)


def test_a_controller_that_is_not_there_fails_and_says_how(mesh: Mesh, check: Checker) -> None:
    said = check(OPEN, check.controller.replace("7443", "7450"))
    assert (said.code, "Connection refused" in said["controller"]["found"]) == (FAILED, True), said
    assert said["udp"]["verdict"] == "degraded", "UDP gets there: ICMP says that nobody listens"
    runner.impair(mesh.name, f"{nat.CONTROLLER}:{nat.ROUTER}", {"blackhole": True})
    try:
        said = check(OPEN, check.controller, *SOON)
    finally:
        runner.impair(mesh.name, f"{nat.CONTROLLER}:{nat.ROUTER}", {"blackhole": False})
    assert (said.code, "no answer within 1 s" in said["controller"]["found"]) == (FAILED, True), said
    assert said["udp"]["verdict"] == "failed"
    quick = {"RES_OPTIONS": "timeout:1 attempts:1"}  # nobody answers names here
    said = check(OPEN, "wss://nowhere.invalid:7443", environment=quick)
    assert said["controller"]["verdict"] == "failed"


def test_a_token_of_another_network_is_told(mesh: Mesh, check: Checker) -> None:
    from overlayd.protocol.token import JoinToken, encode_token

    said = check(OPEN, encode_token(JoinToken(check.controller, "00" * 32, "00" * 32)))
    assert (said.code, "the CA that the token names" in said["controller"]["found"]) == (FAILED, True), said


def test_another_reflector_is_asked_on_demand(mesh: Mesh, check: Checker) -> None:
    said = check(OPEN, check.controller.replace("7443", "7450"), "--reflector", check.controller[6:])
    assert (said["controller"]["verdict"], said["udp"]["verdict"]) == ("failed", "ok"), said


def test_a_port_that_another_program_has_fails_and_names_it(mesh: Mesh, check: Checker) -> None:
    with netns.inside(mesh.namespaces[OPEN]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 51900))
        said = check(OPEN)
    assert (said.code, f"({os.getpid()})" in said["port"]["found"]) == (FAILED, True), said
    assert said["udp"]["verdict"] == "ok", "asked from another"


def test_a_host_that_cannot_give_the_capability_fails(mesh: Mesh, check: Checker) -> None:
    said = check(OPEN, before=("setpriv", "--bounding-set", "-net_admin"))
    assert (said.code, said["capability"]["verdict"]) == (FAILED, "failed"), said


def test_a_host_without_tun_fails(mesh: Mesh, check: Checker) -> None:
    hide = 'mount -t tmpfs none /dev/net && exec "$@"'
    said = check(OPEN, before=("unshare", "--mount", "sh", "-c", hide, "sh"))
    assert (said.code, said["tun"]["verdict"]) == (FAILED, "failed"), said


def test_an_uplink_without_a_way_fails(mesh: Mesh, check: Checker) -> None:
    check.file.write_text(HOST.replace("0.0.0.0", "192.0.2.99"))
    said = check(OPEN)
    assert (said.code, said["port"]["verdict"]) == (FAILED, "failed"), said
    assert "no interface has the address 192.0.2.99" in said["port"]["found"]
