"""Which links the engine holds and therefore probes, and the ids they have.

Pure; called by the machine when peers, uplinks or neighbours change.

A link is wanted for each pair of a local uplink and a peer's endpoint of the same address family. Behind a
NAT a node cannot be called: there the other side holds the link without a remote, one lane for each such
uplink, and learns the address from the call. Where both are behind a NAT, both call the address that others
see of the peer: what one sends opens its NAT for the other. Two symmetric NATs never open, so no link is
made. What is found on the local network is preferred to anything else.

In a mesh that is too large for all to probe all, links lead only to those peers that the controller names,
and to what is found on the local network.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from overlayd.agent.mesh import LinkKey, Neighbour, Peer
from overlayd.model.ids import LinkId, NodeId
from overlayd.model.node import Uplink
from overlayd.protocol import engine

MAX_LINKS_PER_PEER = 8
MAX_HIDDEN = 16
"""Uplinks of a node that cannot be called and have a lane; no link leads to or from further ones."""
MAX_HIDDEN_BOTH = 4
"""The same between two nodes that both cannot be called: a lane tells the pair."""
LAN_PREFERENCE = 0
MTU_MIN = 1280
_FIRST_PREFERENCE = 10
_LAST_ID = 0xFFFF


@dataclass(frozen=True, slots=True)
class LocalUplink:
    """A UDP socket of this node's engine.

    ``index`` is its place in the engine's list, ``bound`` the address it is bound to.

    A socket bound to ``::`` is taken for IPv6 only; a host with both families has an uplink for each.
    """

    index: int
    bound: str
    uplink: Uplink

    @property
    def family(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.bound).version


class TooManyLinks(ValueError):
    """All 65535 link ids are taken; nothing was changed."""


def wanted(
    me: NodeId,
    local: tuple[LocalUplink, ...],
    peers: Mapping[NodeId, Peer],
    neighbours: Iterable[Neighbour],
    named: Set[NodeId] | None = None,
) -> dict[LinkKey, engine.Link]:
    """Return the links this node should hold, best first within a peer: to those peers that are ``named``
    (None: all) or were seen on the local network.

    Their ``id`` is 0 until :class:`LinkIds` gives one.
    """
    seen: dict[NodeId, list[Neighbour]] = {}
    for neighbour in neighbours:
        seen.setdefault(neighbour.node, []).append(neighbour)
    links: dict[LinkKey, engine.Link] = {}
    taken: set[tuple[int, str, int]] = set()
    for node in sorted(peers if named is None else peers.keys() & (named | seen.keys())):
        found = _underlay_links(me, local, peers[node])
        near = _lan_links(local, peers[node], seen.get(node, []), found)
        found = near | {key: link for key, link in found.items() if key not in near}
        for key, link in list(found.items())[:MAX_LINKS_PER_PEER]:
            ends = (link.uplink, key.remote or f"node {node}", link.lane)
            if ends not in taken:  # two nodes that claim one endpoint: the first has it
                taken.add(ends)
                links[key] = link
    return links


class LinkIds:
    """Gives each link its number, and keeps it for when the link comes back."""

    def __init__(self, known: Iterable[tuple[LinkKey, LinkId]] = ()) -> None:
        self._ids = {key: number for key, number in known if 1 <= number <= _LAST_ID}
        if len(set(self._ids.values())) != len(self._ids):
            self._ids = {}

    def assign(self, keys: Iterable[LinkKey]) -> dict[LinkKey, LinkId]:
        """Return the ids of ``keys``; others are forgotten only when numbers run out.

        Raises :class:`TooManyLinks`.
        """
        wanted_keys = sorted(keys)
        if len(wanted_keys) > _LAST_ID:
            raise TooManyLinks(f"{len(wanted_keys)} links; at most {_LAST_ID} have a number")
        new = [key for key in wanted_keys if key not in self._ids]
        if len(self._ids) + len(new) > _LAST_ID:
            self._ids = {key: self._ids[key] for key in wanted_keys if key in self._ids}
        taken = set(self._ids.values())
        free = (LinkId(number) for number in range(1, _LAST_ID + 1) if number not in taken)
        for key in new:
            self._ids[key] = next(free)
        return {key: self._ids[key] for key in wanted_keys}

    def known(self) -> tuple[tuple[LinkKey, LinkId], ...]:
        """Return what has to be kept over a restart."""
        return tuple(sorted(self._ids.items()))


def numbered(link: engine.Link, number: LinkId) -> engine.Link:
    """Return ``link`` with its number."""
    return msgspec.structs.replace(link, id=number)


def uplink_of(key: LinkKey, uplinks: tuple[Uplink, ...]) -> Uplink | None:
    """Return which of a peer's ``uplinks`` a link leads to from one of ours that can be called; None where it
    was found on the local network.
    """
    if key.remote:
        return next((uplink for uplink in uplinks if uplink.endpoint == key.remote), None)
    lanes = _lanes(uplinks)
    return next((uplinks[place] for place, lane in lanes.items() if lane == key.lane), None)


@lru_cache(maxsize=4096)
def family_of(endpoint: str) -> int:
    """Return 4 or 6 for ``"198.51.100.7:51900"`` or ``"[2001:db8::7]:51900"``.

    Raises :class:`ValueError` for anything else.
    """
    host, separator, port = endpoint.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 0xFFFF:
        raise ValueError(f"{endpoint!r} is not an address and a port")
    bracketed = host.startswith("[") and host.endswith("]")
    address = ipaddress.IPv6Address(host[1:-1]) if bracketed else ipaddress.IPv4Address(host)
    if address.is_unspecified:
        raise ValueError(f"{endpoint!r} cannot be sent to")
    return address.version


def _lan_links(
    local: tuple[LocalUplink, ...],
    peer: Peer,
    neighbours: list[Neighbour],
    known: Mapping[LinkKey, engine.Link],
) -> dict[LinkKey, engine.Link]:
    """Links to what was seen; one that is ``known`` anyway stays itself and becomes preferred."""
    by_name = {own.uplink.name: own for own in local}
    by_ends = {(key.uplink, key.remote): key for key in known}
    links: dict[LinkKey, engine.Link] = {}
    for neighbour in sorted(neighbours, key=lambda one: (one.uplink, one.endpoint)):
        own = by_name.get(neighbour.uplink)
        if own is None or _family(neighbour.endpoint) != own.family:
            continue
        ends = (own.uplink.name, neighbour.endpoint)
        key = by_ends.get(ends, LinkKey(peer.record.id, *ends, 0))
        links[key] = _link(key, own, own.uplink.mtu, LAN_PREFERENCE)
    return links


def _underlay_links(me: NodeId, local: tuple[LocalUplink, ...], peer: Peer) -> dict[LinkKey, engine.Link]:
    """Cross product, ordered so that both sides' first choices come first."""
    links: dict[LinkKey, engine.Link] = {}
    order = sorted(
        ((i + j, i, j) for i in range(len(local)) for j in range(len(peer.uplinks))),
    )
    hidden_here = _lanes([own.uplink for own in local])
    hidden_there = _lanes(peer.uplinks)
    for rank, i, j in order:
        own, theirs = local[i], peer.uplinks[j]
        reflexive = _opening(own, theirs)
        both = _lane_of_both(hidden_here.get(i), hidden_there.get(j), me > peer.record.id)
        if theirs.endpoint is not None:
            if _family(theirs.endpoint) != own.family:
                continue
            remote, lane = theirs.endpoint, hidden_here.get(i, 0)
        elif own.uplink.endpoint is not None and j in hidden_there:
            remote, lane = "", hidden_there[j]
        elif reflexive is not None and both is not None:
            remote, lane = "", both
        else:
            continue
        key = LinkKey(peer.record.id, own.uplink.name, remote, lane)
        preference = min(_FIRST_PREFERENCE + rank, 0xFF)
        link = _link(key, own, min(own.uplink.mtu, theirs.mtu), preference, reflexive)
        links.setdefault(key, link)
    return links


def _opening(own: LocalUplink, theirs: Uplink) -> str | None:
    """The address to call so that both NATs open; None where ours is none, or where it would be in vain."""
    seen = own.uplink.reflexive
    if seen is None or theirs.reflexive is None or (own.uplink.symmetric and theirs.symmetric):
        return None
    return theirs.reflexive if _family(theirs.reflexive) == own.family else None


def _lanes(uplinks: Iterable[Uplink]) -> dict[int, int]:
    """Lane by place of each uplink that cannot be called: both sides count them alike."""
    hidden = [place for place, uplink in enumerate(uplinks) if uplink.endpoint is None]
    return {place: lane for lane, place in enumerate(hidden[:MAX_HIDDEN])}


def _lane_of_both(here: int | None, there: int | None, we_are_higher: bool) -> int | None:
    """The lane between two uplinks that cannot be called, from their own: the lower node's weighs more."""
    if here is None or there is None or max(here, there) >= MAX_HIDDEN_BOTH:
        return None
    more, less = (there, here) if we_are_higher else (here, there)
    return MAX_HIDDEN_BOTH * more + less


def _family(endpoint: str) -> int | None:
    try:
        return family_of(endpoint)
    except ValueError:
        return None


def _link(
    key: LinkKey, own: LocalUplink, mtu: int, preference: int, reflexive: str | None = None
) -> engine.Link:
    return engine.Link(
        id=0,
        peer=key.peer,
        uplink=own.index,
        remote=key.remote or None,
        lane=key.lane,
        mtu=max(mtu, MTU_MIN),
        rate_bps=own.uplink.rate_bps or None,
        preference=preference,
        reflexive=reflexive,
    )
