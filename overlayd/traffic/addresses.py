"""The virtual addresses of routes, on the loopback interface. I/O: netlink.

They bear our number as their protocol (`ip address`: ``proto 0x4f``), by which a later life knows them again.
With the scope of a host they are never the source of what leaves it. Called by `traffic`.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterable
from typing import Any, TypeAlias

import pyroute2  # pyright: ignore[reportMissingTypeStubs]

from overlayd.traffic.errors import TrafficError

# pyroute2 has no types; here they stand in its place.
_AsyncIPRoute: Any = pyroute2.AsyncIPRoute
_NetlinkError: type[Exception] = pyroute2.NetlinkError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

PROTOCOL = 79
"""As that of the overlay's routes."""
_LOOPBACK = "lo"
_IFA_F_NODAD = 0x02
_SCOPE_HOST = 254
_DONE_ALREADY = (errno.EEXIST, errno.EADDRNOTAVAIL)


async def set_addresses(wanted: Iterable[str]) -> None:
    """Give the host the ``wanted`` addresses; take none away. Raises :class:`TrafficError`."""
    async with _AsyncIPRoute() as netlink:
        index = socket.if_nametoindex(_LOOPBACK)
        held = await _held(netlink, index)
        for address in sorted({ipaddress.ip_address(text) for text in wanted} - held, key=_order):
            await _ask(netlink, "add", index, address)


async def keep_addresses(wanted: Iterable[str]) -> None:
    """Take those addresses of ours away that are not ``wanted`` any more. Raises :class:`TrafficError`."""
    async with _AsyncIPRoute() as netlink:
        index = socket.if_nametoindex(_LOOPBACK)
        held = await _held(netlink, index)
        for address in sorted(held - {ipaddress.ip_address(text) for text in wanted}, key=_order):
            await _ask(netlink, "del", index, address)


async def _held(netlink: Any, index: int) -> set[Address]:
    found: set[Address] = set()
    async for one in await netlink.addr("dump", index=index):
        if one["index"] == index and one.get("proto") == PROTOCOL:
            found.add(ipaddress.ip_address(one.get("local") or one.get("address")))
    return found


async def _ask(netlink: Any, verb: str, index: int, address: Address) -> None:
    flags = {"flags": _IFA_F_NODAD} if address.version == 6 else {}
    try:
        await netlink.addr(
            verb,
            index=index,
            address=str(address),
            prefixlen=address.max_prefixlen,
            scope=_SCOPE_HOST,
            proto=PROTOCOL,
            **flags,
        )
    except _NetlinkError as error:
        code, *_ = error.args
        if code not in _DONE_ALREADY:
            raise TrafficError(f"address {address}: {os.strerror(code)}") from error


def _order(address: Address) -> tuple[int, int]:
    return address.version, int(address)
