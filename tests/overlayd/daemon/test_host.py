"""What a snapshot wants of the host, and kernel parameters that are set back. No privileges needed."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path

import pytest

from overlayd.daemon.host import Sysctls, endpoint_address, plan
from overlayd.daemon.netlink import Route
from overlayd.protocol import engine


def snapshot(
    addresses: Sequence[str],
    announced: Sequence[str],
    peers: Sequence[Sequence[str]],
    remotes: Sequence[str | None],
) -> engine.Snapshot:
    own = [f"{address}/{128 if ':' in address else 32}" for address in addresses]
    return engine.Snapshot(
        schema=engine.SCHEMA,
        generation=1,
        route_generation=0,
        network=engine.Network(1, "aes256-gcm", "00" * 32),
        node=engine.Local(1, "me", tuple(addresses), (*own, *announced), False),
        peers=tuple(
            engine.Peer(number, f"peer{number}", "00" * 32, tuple(prefixes), False)
            for number, prefixes in enumerate(peers, 2)
        ),
        links=tuple(
            engine.Link(number, 2, 0, remote, 0, 1500, None, 0) for number, remote in enumerate(remotes, 1)
        ),
        classes=(),
        classifiers=(),
        routes=(),
    )


def route(prefix: str, source: str | None) -> Route:
    return Route(ipaddress.ip_network(prefix), None if source is None else ipaddress.ip_address(source))


def test_peers_prefixes_are_routed_from_the_address_of_their_family() -> None:
    wanted = plan(
        snapshot(["10.0.0.1", "fd00::1"], [], [["10.0.0.2/32", "fd00::2/128", "10.2.0.0/16"]], []), []
    )
    assert wanted.addresses == {ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("fd00::1")}
    assert wanted.routes == {
        route("10.0.0.2/32", "10.0.0.1"),
        route("10.2.0.0/16", "10.0.0.1"),
        route("fd00::2/128", "fd00::1"),
    }
    assert wanted.skipped == ()


def test_a_host_without_an_address_of_a_family_routes_without_a_source() -> None:
    assert plan(snapshot(["10.0.0.1"], [], [["fd00::2/128"]], []), []).routes == {route("fd00::2/128", None)}


@pytest.mark.parametrize(
    ("prefix", "remotes", "own"),
    [
        ("198.51.100.0/24", ["198.51.100.9:51900"], []),
        ("0.0.0.0/0", [None], ["203.0.113.1"]),
        ("2001:db8::/32", ["[2001:db8::9]:51900"], []),
    ],
)
def test_a_prefix_that_holds_an_underlay_address_is_not_routed(
    prefix: str, remotes: list[str | None], own: list[str]
) -> None:
    underlay = [ipaddress.ip_address(address) for address in own]
    wanted = plan(snapshot(["10.0.0.1"], [], [[prefix, "10.0.0.2/32"]], remotes), underlay)
    assert wanted.routes == {route("10.0.0.2/32", "10.0.0.1")}
    [(skipped, reason)] = wanted.skipped
    assert str(skipped) == prefix
    assert "underlay address" in reason


def test_a_prefix_of_this_host_is_not_routed_away() -> None:
    wanted = plan(snapshot(["10.0.0.1"], ["10.7.0.0/16"], [["10.7.0.0/16"]], []), [])
    assert wanted.routes == frozenset()
    assert "announced by this host" in wanted.skipped[0][1]


@pytest.mark.parametrize(
    ("announced", "ipv4", "ipv6"),
    [([], False, False), (["10.7.0.0/16"], True, False), (["fd07::/64"], False, True)],
)
def test_forwarding_is_for_hosts_with_a_network_behind_them(
    announced: list[str], ipv4: bool, ipv6: bool
) -> None:
    wanted = plan(snapshot(["10.0.0.1", "fd00::1"], announced, [], []), [])
    assert (wanted.forward_ipv4, wanted.forward_ipv6) == (ipv4, ipv6)


def test_endpoints_have_addresses_of_both_families() -> None:
    assert str(endpoint_address("198.51.100.7:51900")) == "198.51.100.7"
    assert str(endpoint_address("[2001:db8::7]:51900")) == "2001:db8::7"


def test_kernel_parameters_are_set_back_to_what_they_were(tmp_path: Path) -> None:
    changed, same = tmp_path / "changed", tmp_path / "same"
    changed.write_text("0\n")
    same.write_text("1\n")
    sysctls = Sysctls()
    for value in ("1", "2"):
        sysctls.set(changed, value)
    sysctls.set(same, "1")
    sysctls.set(tmp_path / "absent", "1")
    assert changed.read_text() == "2"
    same.write_text("5")
    sysctls.restore()
    assert changed.read_text() == "0"
    assert same.read_text() == "5"
    assert not (tmp_path / "absent").exists()
