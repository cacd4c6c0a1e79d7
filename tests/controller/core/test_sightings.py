"""What of the addresses that nodes see of each other is believed, and who hears of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.messages import Connected, Disconnected, Received, Removed
from controller.core.sightings import APART_NS, Sightings, parsed, written
from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import Uplink
from overlayd.protocol.controller import Hello
from overlayd.protocol.reflexive import Sighting
from overlayd.protocol.reflexive import Sightings as Message
from tests.controller.core.world import SECOND_NS, World

X, P, Q, R = (NodeId(number) for number in (1, 2, 3, 4))
HOME = (Uplink("home", None),)
SEEN = "203.0.113.7:51900"
VICTIM = "192.0.2.66:53"


class Court:
    """Sightings of node X's only uplink."""

    def __init__(self, uplinks: tuple[Uplink, ...] = HOME) -> None:
        self.sightings = Sightings()
        self.uplinks = uplinks
        self.now_ns = 100 * SECOND_NS

    def say(self, **told: str) -> Uplink:
        """Have nodes say where they see X; return what is believed of it."""
        witnesses = {"p": P, "q": Q, "r": R}
        for name, address in told.items():
            sighting = Sighting(X, self.uplinks[0].name, address)
            self.sightings.note(witnesses[name], [sighting], lambda _: self.uplinks, self.now_ns)
        return self.judge()

    def judge(self, later_s: float = 0.0) -> Uplink:
        self.now_ns += int(later_s * SECOND_NS)
        self.sightings.settle(self.now_ns)
        (uplink,) = self.sightings.seen(X, self.uplinks)
        return uplink


def test_two_that_see_the_same_are_believed_and_one_is_not() -> None:
    court = Court()
    assert court.say(p=SEEN) == HOME[0]
    assert court.say(q=SEEN) == replace(HOME[0], reflexive=SEEN)


def test_one_is_believed_where_the_nodes_own_channel_comes_from() -> None:
    for host in ("203.0.113.7", "::ffff:203.0.113.7"):
        court = Court()
        court.sightings.came_from(X, host, court.now_ns)
        assert court.say(p=VICTIM) == HOME[0]
        assert court.say(p=SEEN) == replace(HOME[0], reflexive=SEEN)


def test_ports_that_differ_are_a_symmetric_nat() -> None:
    court = Court()
    believed = court.say(p="203.0.113.7:1111", q="203.0.113.7:2222")
    assert (believed.symmetric, believed.reflexive) == (True, "203.0.113.7:1111")
    assert court.say(r="203.0.113.7:1000") == believed, "an address that still holds stays"


def test_two_outvote_one_liar_whatever_it_says() -> None:
    for lie in (VICTIM, "203.0.113.7:9"):
        court = Court()
        court.say(r=lie)
        assert court.say(p=SEEN, q=SEEN) == replace(HOME[0], reflexive=SEEN)


def test_what_is_where_it_says_has_no_nat() -> None:
    court = Court((Uplink("isp", SEEN),))
    assert court.say(p=SEEN, q=SEEN) == Uplink("isp", SEEN)


def test_what_is_believed_stays_until_something_else_is_and_changes_rarely() -> None:
    court = Court()
    believed = court.say(p=SEEN, q=SEEN)
    court.sightings.part(P)
    court.sightings.part(Q)
    assert court.judge(3600) == believed
    first = court.say(p="203.0.113.8:1", q="203.0.113.8:1")
    assert first.reflexive == "203.0.113.8:1"
    assert court.say(p="203.0.113.9:1", q="203.0.113.9:1") == first
    due = court.sightings.due
    assert due == court.now_ns + APART_NS
    assert court.judge(APART_NS / SECOND_NS).reflexive == "203.0.113.9:1"
    assert court.sightings.due is None


@pytest.mark.parametrize(
    "address",
    [
        *("", "x:1", "203.0.113.7", "203.0.113.7:0", "203.0.113.7:65536", "0.0.0.0:1", "127.0.0.1:1"),
        *("224.0.0.1:1", "255.255.255.255:1", "169.254.1.1:1", "[203.0.113.7]:1", "2001:db8::1:1"),
        *("[::1]:1", "[ff02::1]:1"),
    ],
)
def test_what_no_node_can_be_called_at_is_refused(address: str) -> None:
    assert parsed(address) is None


def test_nobody_speaks_of_strangers_of_unknown_uplinks_or_of_itself() -> None:
    sightings = Sightings()
    seen = [Sighting(R, "home", SEEN), Sighting(X, "office", SEEN), Sighting(P, "home", SEEN)]
    refused = sightings.note(P, seen, lambda node: HOME if node in (X, P) else (), 0)
    assert (refused, sightings.due) == (3, None)


@given(st.lists(st.tuples(st.sampled_from([P, Q, R]), st.sampled_from([SEEN, VICTIM, "203.0.113.7:1", "x"]))))
def test_what_only_one_says_is_never_believed(said: list[tuple[NodeId, str]]) -> None:
    court = Court()
    for witness, address in said:
        court.sightings.note(witness, [Sighting(X, "home", address)], lambda _: HOME, court.now_ns)
    newest = {witness: parsed(address) for witness, address in said if parsed(address)}
    hosts = [address[0] for address in newest.values() if address]
    believed = parsed(court.judge().reflexive or "")
    assert believed is None or (hosts.count(believed[0]) >= 2 and believed in newest.values())
    assert (believed is None) == (max(map(hosts.count, hosts), default=0) < 2)


@given(st.ip_addresses(), st.integers(1, 0xFFFF))
def test_an_address_is_written_as_it_is_read(host: object, port: int) -> None:
    text = written((str(host), port))
    assert (address := parsed(text)) is None or written(address) == text


def test_all_hear_of_an_address_that_two_have_seen_and_of_no_other() -> None:
    world = World("xpqr")
    hello = Hello(1, "test", HOME, (), Generation(0))
    world.connect("p", "q", "r")
    world.handle(Connected(X, hello, "198.51.100.1"))
    world.run(1)
    world.sent.clear()
    world.handle(Received(P, Message((Sighting(X, "home", SEEN),))))
    world.run(1)
    assert world.sent == []
    world.handle(Received(Q, Message((Sighting(X, "home", SEEN),))))
    world.run(1)
    heard = {send.node: [peer.uplinks for peer in send.mesh.peers] for send in world.sent}
    assert heard == {node: [(replace(HOME[0], reflexive=SEEN),)] for node in (X, P, Q, R)}
    # Another channel, and another hello, change nothing of it; who joins later learns of it at once.
    world.handle(Disconnected(X))
    world.handle(Connected(X, hello, "203.0.113.7"))
    assert world.sent[-1].mesh.peers[0].uplinks[0].reflexive == SEEN
    world.handle(Removed(X))
    world.run(1)
    assert world.sent[-1].mesh.removed == (X,)
