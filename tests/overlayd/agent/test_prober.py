"""Which links are wanted: families, NATs, several uplinks, the local network; and that their numbers stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlayd.agent.mesh import LinkKey, Neighbour, Peer
from overlayd.agent.prober import (
    LAN_PREFERENCE,
    MAX_LINKS_PER_PEER,
    LinkIds,
    LocalUplink,
    family_of,
    wanted,
)
from overlayd.model.ids import LinkId, NodeId
from overlayd.model.node import Uplink
from tests.overlayd.agent.dialogue import BERLIN, ME, OSLO, ROME, record, signed

V4, V6, NAT = "198.51.100.1:51900", "[2001:db8::1]:51900", None


def mine(*uplinks: tuple[str, str | None]) -> tuple[LocalUplink, ...]:
    """Local uplinks from (bound address, endpoint)."""
    return tuple(
        LocalUplink(index, bound, Uplink(f"isp{index}", endpoint))
        for index, (bound, endpoint) in enumerate(uplinks)
    )


def theirs(*endpoints: str | None, node: NodeId = BERLIN) -> dict[NodeId, Peer]:
    uplinks = tuple(Uplink(f"isp{index}", endpoint) for index, endpoint in enumerate(endpoints))
    return {node: Peer(record(node), signed(node), uplinks)}


def ends(
    local: tuple[LocalUplink, ...], peers: dict[NodeId, Peer], *seen: Neighbour
) -> list[tuple[str, str, int]]:
    return [(key.uplink, key.remote, key.lane) for key in wanted(ME, local, peers, seen)]


def test_every_local_uplink_goes_with_every_endpoint_of_its_family() -> None:
    local = mine(("0.0.0.0", V4), ("::", V6))
    peers = theirs("203.0.113.2:1", "[2001:db8::2]:1", "203.0.113.3:1")
    assert ends(local, peers) == [
        ("isp0", "203.0.113.2:1", 0),
        ("isp0", "203.0.113.3:1", 0),
        ("isp1", "[2001:db8::2]:1", 0),
    ]


def test_where_peers_are_named_links_lead_to_these_and_to_what_is_on_the_local_network() -> None:
    local = mine(("0.0.0.0", V4))
    peers = theirs("203.0.113.2:1") | theirs("203.0.113.3:1", node=ROME) | theirs("203.0.113.4:1", node=OSLO)
    seen = [Neighbour(OSLO, "192.0.2.4:1", "isp0")]
    assert {key.peer for key in wanted(ME, local, peers, seen)} == {BERLIN, ROME, OSLO}
    assert {key.peer for key in wanted(ME, local, peers, seen, frozenset({ROME}))} == {ROME, OSLO}


def test_two_nodes_with_two_uplinks_agree_on_their_four_links() -> None:
    a, b = ("198.51.100.1:1", "198.51.100.2:1"), ("203.0.113.1:1", "203.0.113.2:1")
    of_a = wanted(ME, mine(*[(one.split(":")[0], one) for one in a]), theirs(*b), ())
    of_b = wanted(ME, mine(*[(one.split(":")[0], one) for one in b]), theirs(*a), ())
    assert {(a[link.uplink], link.remote, link.lane) for link in of_a.values()} == {
        (link.remote, b[link.uplink], link.lane) for link in of_b.values()
    }


def test_a_peer_behind_a_nat_calls_us_and_both_sides_count_its_lanes_alike() -> None:
    public, hidden = mine(("198.51.100.1", V4)), mine(("192.168.0.2", NAT), ("192.168.1.2", NAT))
    assert ends(public, theirs(NAT, NAT)) == [("isp0", "", 0), ("isp0", "", 1)]
    assert ends(hidden, theirs(V4)) == [("isp0", V4, 0), ("isp1", V4, 1)]


def test_two_nodes_behind_nats_have_no_link_but_on_their_local_network() -> None:
    hidden = mine(("192.168.0.2", NAT))
    assert ends(hidden, theirs(NAT)) == []
    assert ends(hidden, theirs(NAT), Neighbour(BERLIN, "192.168.0.3:51900", "isp0")) == [
        ("isp0", "192.168.0.3:51900", 0)
    ]


SEEN, SEEN_TOO = "203.0.113.7:51900", "203.0.113.8:61000"


def behind(node: NodeId, *seen: tuple[str | None, str, bool]) -> tuple[tuple[LocalUplink, ...], Peer]:
    """A node whose uplinks (endpoint, where others see it, symmetric) are behind a NAT, as itself and as a
    peer.
    """
    uplinks = tuple(
        Uplink(f"isp{place}", endpoint, reflexive=reflexive, symmetric=symmetric)
        for place, (endpoint, reflexive, symmetric) in enumerate(seen)
    )
    local = tuple(LocalUplink(i, f"192.168.{i}.2", uplink) for i, uplink in enumerate(uplinks))
    return local, Peer(record(node), signed(node), uplinks)


def both_ends(
    *seen: tuple[tuple[str | None, str, bool], ...],
) -> list[list[tuple[str, str, int, str | None]]]:
    """The links of two such nodes to each other, each: (uplink, remote, lane, reflexive)."""
    (here, as_here), (there, as_there) = (
        behind(node, *one) for node, one in zip((ME, ROME), seen, strict=True)
    )
    of = (wanted(ME, here, {ROME: as_there}, ()), wanted(ROME, there, {ME: as_here}, ()))
    return [
        [(key.uplink, key.remote, key.lane, link.reflexive) for key, link in links.items()] for links in of
    ]


@pytest.mark.parametrize(("here", "there"), [(False, False), (False, True), (True, False)])
def test_two_behind_nats_call_each_other_where_others_see_them(here: bool, there: bool) -> None:
    assert both_ends(((NAT, SEEN, here),), ((NAT, SEEN_TOO, there),)) == [
        [("isp0", "", 0, SEEN_TOO)],
        [("isp0", "", 0, SEEN)],
    ]


def test_two_symmetric_nats_are_not_knocked_at() -> None:
    assert both_ends(((NAT, SEEN, True),), ((NAT, SEEN_TOO, True),)) == [[], []]


def test_each_pair_of_uplinks_behind_nats_has_a_lane_that_both_ends_know() -> None:
    here = ((NAT, SEEN, False), (NAT, "203.0.113.9:1", False))
    there = ((NAT, SEEN_TOO, False), (NAT, "203.0.113.9:2", False))
    ours, theirs = both_ends(here, there)
    named = {(uplink, there[int(remote_uplink)][1]) for uplink in ("isp0", "isp1") for remote_uplink in "01"}
    assert {(uplink, reflexive) for uplink, _, _, reflexive in ours} == named
    assert sorted(lane for _, _, lane, _ in ours) == sorted(lane for _, _, lane, _ in theirs) == [0, 1, 4, 5]
    at = {(here[int(uplink[-1])][1], reflexive): lane for uplink, _, lane, reflexive in ours}
    assert at == {(reflexive, there[int(uplink[-1])][1]): lane for uplink, _, lane, reflexive in theirs}


def test_private_endpoints_are_called_and_where_others_see_them_too() -> None:
    private, other = "192.168.0.2:51900", "192.168.7.2:51900"
    assert both_ends(((private, SEEN, False),), ((other, SEEN_TOO, False),)) == [
        [("isp0", other, 0, SEEN_TOO)],
        [("isp0", private, 0, SEEN)],
    ]


def test_who_is_public_waits_for_the_call() -> None:
    local, (_, hidden) = mine(("198.51.100.1", V4)), behind(BERLIN, (NAT, SEEN, False))
    ((key, link),) = wanted(ME, local, {BERLIN: hidden}, ()).items()
    assert (key.remote, link.remote, link.reflexive) == ("", None, None)


def test_an_address_of_another_family_opens_nothing() -> None:
    assert both_ends(((NAT, SEEN, False),), ((NAT, "[2001:db8::7]:1", False),))[0] == []


def test_what_is_found_on_the_local_network_is_preferred() -> None:
    local, peers = mine(("192.168.0.2", V4)), theirs("203.0.113.2:1")
    links = wanted(ME, local, peers, [Neighbour(BERLIN, "192.168.0.3:51900", "isp0")])
    assert [link.remote for link in links.values()] == ["192.168.0.3:51900", "203.0.113.2:1"]
    assert [link.preference == LAN_PREFERENCE for link in links.values()] == [True, False]


def test_an_endpoint_known_both_ways_is_one_link() -> None:
    local, peers = mine(("192.168.0.2", V4)), theirs("192.168.0.3:51900")
    (link,) = wanted(ME, local, peers, [Neighbour(BERLIN, "192.168.0.3:51900", "isp0")]).values()
    assert link.preference == LAN_PREFERENCE


def test_two_nodes_that_claim_one_endpoint_do_not_spoil_the_snapshot() -> None:
    peers = theirs(V4) | theirs(V4, node=ROME)
    links = wanted(ME, mine(("198.51.100.9", V4)), peers, ())
    assert [link.peer for link in links.values()] == [BERLIN]


def test_the_number_of_links_to_one_peer_is_bounded() -> None:
    local = mine(*[(f"198.51.100.{i}", f"198.51.100.{i}:1") for i in range(1, 9)])
    assert (
        len(wanted(ME, local, theirs(*[f"203.0.113.{i}:1" for i in range(1, 9)]), ())) == MAX_LINKS_PER_PEER
    )


@pytest.mark.parametrize(
    "endpoint", ["", "berlin:1", "198.51.100.1", "[::1]", "198.51.100.1:0", "0.0.0.0:1", "1:2:3"]
)
def test_what_is_no_endpoint_makes_no_link(endpoint: str) -> None:
    with pytest.raises(ValueError):
        family_of(endpoint)
    assert ends(mine(("0.0.0.0", V4), ("::", V6)), theirs(endpoint)) == []


KEYS = st.builds(
    LinkKey,
    st.integers(1, 5).map(NodeId),
    st.sampled_from(["isp1", "isp2"]),
    st.sampled_from(["", V4, V6]),
    st.just(0),
)


@given(st.lists(st.sets(KEYS), max_size=10))
def test_numbers_are_unique_and_never_change(rounds: list[set[LinkKey]]) -> None:
    ids = LinkIds()
    given_out: dict[LinkKey, LinkId] = {}
    for keys in rounds:
        numbers = ids.assign(keys)
        assert len(set(numbers.values())) == len(keys)
        for key, number in numbers.items():
            assert given_out.setdefault(key, number) == number
    assert LinkIds(ids.known()).assign(given_out) == given_out


def test_stored_numbers_that_contradict_each_other_are_not_used() -> None:
    first, second = (LinkKey(BERLIN, "isp1", V4, lane) for lane in (0, 1))
    ids = LinkIds([(first, LinkId(7)), (second, LinkId(7))])
    assert sorted(ids.assign([first, second]).values()) == [1, 2]
