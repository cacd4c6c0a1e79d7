"""Ids, overlay addresses and prefixes: who gets which, and what may not overlap. Pure.

Every node has one IPv4 address of the network's pool and one IPv6 address of its unique local /64 (RFC
4193, with the 40-bit global id taken from a hash of the network's id instead of a clock).
"""

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from controller.enrolment.errors import AddressTaken, BadRequest, NetworkFull, PrefixDenied, PrefixTaken
from overlayd.model.ids import NodeId

MAX_NODE_ID = 0xFFFF

Prefix: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """Where the overlay's addresses come from."""

    ipv4: ipaddress.IPv4Network
    ipv6: ipaddress.IPv6Network

    def allocate(self, node: NodeId, taken: Iterable[str]) -> tuple[str, str]:
        """Return an IPv4 and an IPv6 address for ``node``; ``taken`` are the addresses of the other
        nodes.

        The IPv4 address is the pool's ``node``-th, or its lowest free one where that is taken or beyond
        the pool. Raises :class:`NetworkFull`, :class:`AddressTaken`.
        """
        others = {ipaddress.ip_address(address) for address in taken}
        ipv6 = self.ipv6[int(node)]
        if ipv6 in others:
            raise AddressTaken(f"{ipv6}, the address of node {node}, belongs to another node")
        wished = int(node)
        if wished < self.ipv4.num_addresses - 1 and self.ipv4[wished] not in others:
            return str(self.ipv4[wished]), str(ipv6)
        for address in self.ipv4.hosts():
            if address not in others:
                return str(address), str(ipv6)
        raise NetworkFull(f"all {self.ipv4.num_addresses - 2} addresses of {self.ipv4} are taken")


def address_plan(network_id: int, ipv4_pool: str) -> AddressPlan:
    """Return the plan of a network. Raises :class:`BadRequest` for a pool that is none."""
    try:
        ipv4 = ipaddress.IPv4Network(ipv4_pool)
    except ValueError as error:
        raise BadRequest(f"the address pool {ipv4_pool!r} is no IPv4 network: {error}") from error
    if ipv4.prefixlen > 30:
        raise BadRequest(f"the address pool {ipv4_pool} is too small for two nodes")
    global_id = hashlib.sha256(b"overlayd/ula/" + network_id.to_bytes(4, "big")).digest()[:5]
    packed = b"\xfd" + global_id + bytes(10)
    return AddressPlan(ipv4, ipaddress.IPv6Network((packed, 64)))


def allocate_id(ever_used: Iterable[NodeId], reusable: Iterable[NodeId]) -> NodeId:
    """Return the id after the highest that was ever given.

    Ids are not given twice while an old certificate could still speak for them: only when all are used
    up, the lowest of ``reusable`` (of removed nodes whose certificates have ended) comes back. Raises
    :class:`NetworkFull`.
    """
    highest = max(ever_used, default=0)
    if highest < MAX_NODE_ID:
        return NodeId(highest + 1)
    if (free := min(reusable, default=None)) is not None:
        return free
    raise NetworkFull(f"all {MAX_NODE_ID} node ids are in use")


def parse_prefixes(prefixes: Iterable[str]) -> tuple[Prefix, ...]:
    """Return the prefixes in ``prefixes``. Raises :class:`BadRequest` naming the first that is none."""
    parsed: list[Prefix] = []
    for text in prefixes:
        try:
            parsed.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise BadRequest(f"{text!r} is no prefix: {error}") from error
    return tuple(parsed)


def check_granted(wanted: Iterable[str], granted: Iterable[str]) -> None:
    """Raise :class:`PrefixDenied` for the first wanted prefix that lies within no granted one."""
    allowed = parse_prefixes(granted)
    for prefix in parse_prefixes(wanted):
        if not any(_within(prefix, outer) for outer in allowed):
            raise PrefixDenied(
                f"{prefix} was not granted to this node; a token made with `--prefix {prefix}` grants it"
            )


def check_free(wanted: Iterable[str], plan: AddressPlan, taken: Iterable[tuple[str, str]]) -> None:
    """Raise :class:`PrefixTaken` if a wanted prefix overlaps the overlay's own addresses or another
    node's prefix.

    ``taken`` are pairs of prefix and the name of the node that has it.
    """
    others = [(ipaddress.ip_network(prefix), name) for prefix, name in taken]
    for prefix in parse_prefixes(wanted):
        if _overlap(prefix, plan.ipv4) or _overlap(prefix, plan.ipv6):
            raise PrefixTaken(f"{prefix} overlaps the overlay's own addresses ({plan.ipv4}, {plan.ipv6})")
        for other, name in others:
            if _overlap(prefix, other):
                raise PrefixTaken(f"{prefix} overlaps {other}, which the node {name!r} announces")


def host_prefixes(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return addresses as prefixes of full length."""
    return tuple(str(ipaddress.ip_network(address)) for address in addresses)


def _within(inner: Prefix, outer: Prefix) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def _overlap(one: Prefix, other: Prefix) -> bool:
    return one.version == other.version and one.overlaps(other)
