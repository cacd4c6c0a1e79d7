"""The few requests to the kernel's network tables that the host set-up needs, typed. I/O: one netlink socket.

Called by `overlayd.daemon.host`.
"""

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import pyroute2  # pyright: ignore[reportMissingTypeStubs]

# pyroute2 has no types; here they stand in its place.
_AsyncIPRoute: Any = pyroute2.AsyncIPRoute
_NetlinkError: type[Exception] = pyroute2.NetlinkError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Prefix: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

ROUTE_METRIC = 512
"""Above 0, so that a network that this host stands in wins over a peer's claim to it."""
ROUTE_PROTOCOL = 79
"""Marks our routes in `ip route`; nobody's number in iproute2's rt_protos."""
TX_QUEUE_PACKETS = 2000
_IFA_F_NODAD = 0x02
_ADDR_GEN_MODE_NONE = 1
_GONE = (errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT)


class NetlinkFailure(Exception):
    """The kernel refused a request."""


@dataclass(frozen=True, slots=True)
class Route:
    """To ``prefix`` by the overlay interface, from ``source`` unless a program chose another."""

    prefix: Prefix
    source: Address | None


class Netlink:
    """Requests about one interface. Each may raise :class:`NetlinkFailure`; what is gone is removed well."""

    def __init__(self, socket: Any, index: int) -> None:
        self._socket = socket
        self._index = index

    @classmethod
    async def open(cls, index: int) -> Self:
        """Return the requests for the interface of ``index``."""
        netlink = _AsyncIPRoute()
        await netlink.setup_endpoint()
        return cls(netlink, index)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    async def bring_up(self, mtu: int) -> None:
        """Set ``mtu`` (bytes) and start the interface.

        It gets no link-local address: nobody in the overlay would answer its router solicitations.
        """
        mode = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _ADDR_GEN_MODE_NONE)]}
        with contextlib.suppress(NetlinkFailure):  # a kernel without IPv6
            await _ask(
                self._socket.link("set", index=self._index, IFLA_AF_SPEC={"attrs": [("AF_INET6", mode)]})
            )
        await _ask(self._socket.link("set", index=self._index, mtu=mtu, txqlen=TX_QUEUE_PACKETS, state="up"))

    async def set_mtu(self, mtu: int) -> None:
        """Set ``mtu`` (bytes)."""
        await _ask(self._socket.link("set", index=self._index, mtu=mtu))

    async def addresses(self) -> set[Address]:
        """Return the addresses that the interface has."""
        found: set[Address] = set()
        async for one in await self._socket.addr("dump", index=self._index):
            if one["index"] == self._index:
                found.add(ipaddress.ip_address(one.get("address")))
        return found

    async def routes(self) -> set[Route]:
        """Return the routes to the interface that bear our mark."""
        found: set[Route] = set()
        async for one in await self._socket.route("dump", oif=self._index, proto=ROUTE_PROTOCOL):
            if one.get("oif") != self._index or one["proto"] != ROUTE_PROTOCOL:
                continue
            everything = "0.0.0.0" if one["family"] == socket.AF_INET else "::"
            prefix = ipaddress.ip_network(f"{one.get('dst') or everything}/{one['dst_len']}")
            source = one.get("prefsrc")
            found.add(Route(prefix, ipaddress.ip_address(source) if source else None))
        return found

    async def set_address(self, address: Address) -> None:
        """Give the interface ``address``, usable at once (there is nobody to detect duplicates with)."""
        flags = {"flags": _IFA_F_NODAD} if address.version == 6 else {}
        await _ask(self._socket.addr("replace", **self._address(address), **flags))

    async def remove_address(self, address: Address) -> None:
        """Take ``address`` away."""
        await _ask(self._socket.addr("del", **self._address(address)), _GONE)

    async def set_route(self, route: Route) -> None:
        """Route a prefix to the interface."""
        await _ask(self._socket.route("replace", **self._route(route)))

    async def remove_route(self, route: Route) -> None:
        """Take a route away."""
        await _ask(self._socket.route("del", **self._route(route)), _GONE)

    def _address(self, address: Address) -> dict[str, Any]:
        return {"index": self._index, "address": str(address), "prefixlen": address.max_prefixlen}

    def _route(self, route: Route) -> dict[str, Any]:
        request: dict[str, Any] = {
            "dst": str(route.prefix),
            "family": socket.AF_INET if route.prefix.version == 4 else socket.AF_INET6,
            "oif": self._index,
            "priority": ROUTE_METRIC,
            "proto": ROUTE_PROTOCOL,
        }
        return request if route.source is None else request | {"prefsrc": str(route.source)}


async def _ask(request: Awaitable[object], harmless: tuple[int, ...] = ()) -> None:
    try:
        await request
    except _NetlinkError as error:
        code, *_ = error.args
        if code not in harmless:
            raise NetlinkFailure(os.strerror(code)) from error
