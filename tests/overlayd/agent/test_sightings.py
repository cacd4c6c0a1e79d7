"""What a public node tells of peers that are not where their uplinks say."""

from dataclasses import replace
from typing import Any

import msgspec

from overlayd.agent.messages import ControllerConnected
from overlayd.model.node import Uplink
from overlayd.protocol import controller, engine
from overlayd.protocol.reflexive import Sighting, Sightings
from tests.overlayd.agent.dialogue import (
    BERLIN,
    ME,
    ROME,
    Dialogue,
    agent,
    link_report,
    mesh,
    signed,
    snapshots,
    started,
    told,
    uplink,
    welcome,
)

SEEN = "203.0.113.7:51900"
HIDDEN = Uplink("home", None)


def sightings(talk: Dialogue, *reports: engine.LinkReport) -> list[Sighting]:
    said = told(talk.second(*reports))
    return [one for message in said if isinstance(message, Sightings) for one in message.seen]


def to_hidden(generation: int, *uplinks: Uplink, own: Uplink | None = None) -> controller.Mesh:
    """A mesh in which Berlin has other uplinks, and is told of us as ``own`` if that is given."""
    peers = [controller.PeerInfo(signed(BERLIN), uplinks), controller.PeerInfo(signed(ROME), (uplink(ROME),))]
    if own is not None:
        peers.append(controller.PeerInfo(signed(ME), (own,)))
    return msgspec.structs.replace(mesh(generation), peers=tuple(peers))


def report(talk: Dialogue, peer: int, **changes: Any) -> engine.LinkReport:
    (number,) = (number for number, key in talk.agent.tables.keys.items() if key.peer == peer)
    return msgspec.structs.replace(link_report(number, BERLIN, 20.0), peer=peer, **changes)


def public() -> Dialogue:
    talk = Dialogue(agent())
    talk >> welcome()
    talk.drain()
    talk >> to_hidden(1, HIDDEN)
    talk.drain()
    talk >> ControllerConnected()
    talk.drain()
    return talk


def test_who_calls_from_behind_a_nat_is_told_of_once_and_again_when_it_has_moved() -> None:
    talk = public()
    assert sightings(talk, report(talk, BERLIN, remote=SEEN)) == [Sighting(BERLIN, "home", SEEN)]
    assert sightings(talk, report(talk, BERLIN, remote=SEEN)) == []
    moved = "203.0.113.8:51900"
    assert sightings(talk, report(talk, BERLIN, remote=moved)) == [Sighting(BERLIN, "home", moved)]


def test_who_is_where_it_says_is_not_worth_a_word_until_it_was_elsewhere() -> None:
    talk = public()
    at_home, away = "198.51.100.3:51900", "203.0.113.9:51900"
    assert sightings(talk, report(talk, ROME, remote=at_home)) == []
    assert sightings(talk, report(talk, ROME, remote=away)) == [Sighting(ROME, "isp1", away)]
    assert sightings(talk, report(talk, ROME, remote=at_home)) == [Sighting(ROME, "isp1", at_home)]


def test_a_controller_that_comes_back_is_told_what_still_holds() -> None:
    talk = public()
    sightings(talk, report(talk, BERLIN, remote=SEEN), report(talk, ROME, remote="203.0.113.9:1"))
    sightings(talk, report(talk, ROME, remote="203.0.113.9:1", up=False))
    talk >> ControllerConnected()
    said = told(talk.drain())
    assert [one.seen for one in said if isinstance(one, Sightings)] == [(Sighting(BERLIN, "home", SEEN),)]


def test_who_cannot_be_called_tells_nothing() -> None:
    talk = Dialogue(agent())
    talk.agent.me = replace(talk.agent.me, uplinks=(Uplink("isp1", None),))
    talk >> welcome()
    talk.drain()
    talk >> mesh(1)
    talk.drain()
    talk >> ControllerConnected()
    talk.drain()
    assert sightings(talk, report(talk, ROME, remote="203.0.113.9:1")) == []


def test_a_node_that_left_is_forgotten() -> None:
    talk = public()
    sightings(talk, report(talk, BERLIN, remote=SEEN))
    talk >> mesh(2, peers=(ROME,))
    talk.drain()
    talk >> ControllerConnected()
    assert not any(isinstance(one, Sightings) for one in told(talk.drain()))


def test_where_others_see_both_ends_they_call_each_other_if_the_engine_knows_how() -> None:
    for knows in (True, False):
        talk = started()
        talk >> msgspec.structs.replace(welcome(), reflexive=knows)
        talk.drain()
        seen = [msgspec.structs.replace(uplink(node), reflexive=SEEN) for node in (BERLIN, ME)]
        talk >> to_hidden(2, seen[0], own=seen[1])
        links = [link for tables in snapshots(talk.drain()) for link in tables.links]
        assert [link.reflexive for link in links if link.peer == BERLIN] == ([SEEN] if knows else [None])
        assert (b"reflexive" in msgspec.json.encode(links)) == knows


def test_what_a_controller_said_before_it_started_anew_stays() -> None:
    talk = started()
    talk >> msgspec.structs.replace(welcome(), reflexive=True)
    seen = msgspec.structs.replace(HIDDEN, reflexive=SEEN, symmetric=True)
    talk.drain()
    talk >> to_hidden(2, seen)
    talk.drain()
    talk >> to_hidden(3, HIDDEN)
    assert talk.agent.mesh.peers[BERLIN].uplinks == (seen,)
    talk.drain()
    elsewhere = Uplink("home", "198.51.100.9:51900")
    talk >> to_hidden(4, elsewhere)
    assert talk.agent.mesh.peers[BERLIN].uplinks == (elsewhere,)
