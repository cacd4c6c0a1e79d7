"""Where nodes behind a NAT are seen, and what of it is believed. Pure; used by `controller` alone.

One node's word is not enough: what it names, all that are behind a NAT as well would call. An address is
believed when two nodes see the same host, or one does and the node's own channel comes from there; ports that
differ make the NAT a symmetric one. What is believed stays until something else is, and changes rarely.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from overlayd.model.ids import NodeId
from overlayd.model.node import Uplink
from overlayd.protocol.reflexive import Sighting

APART_NS = 5_000_000_000
"""An address that is believed is believed so long, whoever says what."""
WITNESSES = 2
Place = tuple[NodeId, str]
"""A node's uplink, by name."""
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Believed:
    """``since_ns``: when the address became this one."""

    address: Address
    symmetric: bool
    since_ns: int


class Sightings:
    """What each node said last of the others."""

    def __init__(self) -> None:
        self._told: dict[Place, dict[NodeId, Address]] = {}
        self._channels: dict[NodeId, str] = {}
        self._believed: dict[Place, Believed] = {}
        self._waiting: dict[Place, int] = {}

    @property
    def due(self) -> int | None:
        """When :meth:`settle` may find something; None: not before the next event."""
        return min(self._waiting.values(), default=None)

    def came_from(self, node: NodeId, host: str | None, now_ns: int) -> None:
        """The agent's channel comes from ``host``."""
        self._channels.pop(node, None)
        if host is not None and (known := _host(host)) is not None:
            self._channels[node] = known
        for place in self._told:
            if place[0] == node:
                self._waiting[place] = now_ns

    def note(
        self,
        witness: NodeId,
        seen: Iterable[Sighting],
        uplinks: Callable[[NodeId], tuple[Uplink, ...]],
        now_ns: int,
    ) -> int:
        """Take what ``witness`` says; return how much of it cannot be.

        ``uplinks`` are those of a node, none where it is not known.
        """
        refused = 0
        for sighting in seen:
            address = parsed(sighting.address)
            known = any(uplink.name == sighting.uplink for uplink in uplinks(sighting.peer))
            if address is None or not known or sighting.peer == witness:
                refused += 1
                continue
            place = (sighting.peer, sighting.uplink)
            self._told.setdefault(place, {})[witness] = address
            self._waiting[place] = now_ns
        return refused

    def part(self, node: NodeId) -> None:
        """Its channel is gone: it would not tell of changes."""
        self._channels.pop(node, None)
        for witnesses in self._told.values():
            witnesses.pop(node, None)

    def forget(self, node: NodeId) -> None:
        """It is no member any more."""
        self.part(node)
        for known in (self._told, self._believed, self._waiting):
            for place in [place for place in known if place[0] == node]:
                del known[place]

    def settle(self, now_ns: int) -> set[NodeId]:
        """Judge what is due; return the nodes of which something else is believed now."""
        changed: set[NodeId] = set()
        for place in [place for place, at_ns in self._waiting.items() if at_ns <= now_ns]:
            del self._waiting[place]
            before = self._believed.get(place)
            after = self._judge(place, before)
            if after is None or (before and (before.address, before.symmetric) == after):
                continue
            address, symmetric = after
            since_ns = now_ns
            if before is not None and before.address == address:
                since_ns = before.since_ns
            elif before is not None and now_ns < before.since_ns + APART_NS:
                self._waiting[place] = before.since_ns + APART_NS
                continue
            self._believed[place] = Believed(address, symmetric, since_ns)
            changed.add(place[0])
        return changed

    def seen(self, node: NodeId, uplinks: tuple[Uplink, ...]) -> tuple[Uplink, ...]:
        """Return a node's uplinks with what is believed of them."""
        return tuple(self._with(self._believed.get((node, uplink.name)), uplink) for uplink in uplinks)

    def _with(self, believed: Believed | None, uplink: Uplink) -> Uplink:
        reflexive = None if believed is None else written(believed.address)
        if believed is None or reflexive == uplink.endpoint:
            return replace(uplink, reflexive=None, symmetric=False)
        return replace(uplink, reflexive=reflexive, symmetric=believed.symmetric)

    def _judge(self, place: Place, before: Believed | None) -> tuple[Address, bool] | None:
        told = list(self._told.get(place, {}).values())
        own = self._channels.get(place[0])
        counts = Counter(host for host, _ in told)
        good = [host for host, count in counts.items() if count >= WITNESSES or host == own]
        if not good:
            return None
        host = max(good, key=lambda host: (counts[host], host == own, host))
        ports = Counter(port for at, port in told if at == host)
        most = max(ports.values())
        symmetric = most < WITNESSES <= counts[host]
        if before is not None and before.address[0] == host and ports[before.address[1]] == most:
            return before.address, symmetric
        return (host, min(port for port, count in ports.items() if count == most)), symmetric


def parsed(text: str) -> Address | None:
    """Return host and port of ``"203.0.113.7:51900"`` or ``"[2001:db8::7]:51900"``; None for what no node
    can be called at.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 0xFFFF):
        return None
    bracketed = host.startswith("[") and host.endswith("]")
    known = _host(host[1:-1] if bracketed else host)
    return None if known is None or bracketed != (":" in known) else (known, int(port))


def written(address: Address) -> str:
    """Return an address as :func:`parsed` reads it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local:
        return None
    return None if address.is_reserved and address.version == 4 else str(address)
