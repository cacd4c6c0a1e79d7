"""Flows of UDP: the kernel takes them to instances, by rules of nftables and connection tracking. I/O.

A flow stays with its instance while that is a target, of whatever weight; then its entry is deleted, and its
next packet is a first one. Called by `traffic`. I/O: `nft`, netlink, UDP sockets.
"""

import asyncio
import errno
import ipaddress
import json
import shutil
import socket
from collections.abc import Callable, Sequence
from typing import Any

import pyroute2  # pyright: ignore[reportMissingTypeStubs]
from pyroute2.netlink.nfnetlink import nfctsocket  # pyright: ignore[reportMissingTypeStubs]

from overlayd.protocol.steering import SteeredRoute
from overlayd.traffic import datagram_rules
from overlayd.traffic.counters import Counts, Key
from overlayd.traffic.datagram_rules import FAMILIES, TABLE, Family
from overlayd.traffic.errors import TrafficError
from overlayd.traffic.listeners import proxy_of

# pyroute2 has no types; here they stand in its place.
_Tracking: Any = nfctsocket.AsyncNFCTSocket
_Tuple: Any = nfctsocket.NFCTAttrTuple
_NetlinkError: type[Exception] = pyroute2.NetlinkError

AGAIN_S = 1.0
"""While datagrams arrive for a route without instance, so often it is said that it is wanted."""
Endpoint = tuple[str, int]


class Datagrams:
    """``converge`` brings the kernel to the routes of UDP. ``wanted`` is told who has no instance."""

    def __init__(self, wanted: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._routes: dict[Family, tuple[SteeredRoute, ...]] = {}
        self._before: dict[Family, dict[str, Counts]] = {}
        self._waiting: dict[Endpoint, asyncio.DatagramTransport] = {}

    async def converge(self, routes: Sequence[SteeredRoute]) -> None:
        """Have new flows go to the targets of ``routes``. Raises :class:`TrafficError`."""
        for family in FAMILIES:
            wanted = tuple(route for route in routes if datagram_rules.family_of(route) == family)
            if wanted == self._routes.get(family):
                continue
            await self._set_rules(family, wanted)
            self._routes[family] = wanted
            await _let_go(family, wanted)
        await self._wait_for(routes)

    def close(self) -> None:
        """Leave the rules, which go on; nobody waits for a first datagram any more."""
        for transport in self._waiting.values():
            transport.close()
        self._waiting.clear()

    async def counts(self) -> dict[Key, Counts]:
        """Return users' datagrams and their bytes since this life began. Raises :class:`TrafficError`."""
        found: dict[Key, Counts] = {}
        for family, routes in self._routes.items():
            counted = await _counters(family) if routes else {}
            for route in routes:
                counts = counted.get(datagram_rules.chain_of(route), Counts())
                found[proxy_of(route.name), ""] = counts.since(self._before[family].get(route.name, Counts()))
        return found

    async def _set_rules(self, family: Family, routes: Sequence[SteeredRoute]) -> None:
        chains = await _chains(family)
        counted = {} if chains is None else await _counters(family)
        if family not in self._before:
            of_route = {route.name: counted.get(datagram_rules.chain_of(route)) for route in routes}
            self._before[family] = {name: counts for name, counts in of_route.items() if counts is not None}
        if routes:
            await _nft("-f", "-", script=datagram_rules.render(family, routes, chains or (), counted))
        elif chains is not None:
            await _nft("delete", "table", family, TABLE)

    async def _wait_for(self, routes: Sequence[SteeredRoute]) -> None:
        """Listen where a datagram is to start an app. It is lost itself, as UDP allows."""
        waiting = {
            (route.address, route.port): route.name
            for route in routes
            if route.wakes and not datagram_rules.in_use(route.targets)
        }
        for endpoint in self._waiting.keys() - waiting.keys():
            self._waiting.pop(endpoint).close()
        for endpoint in waiting.keys() - self._waiting.keys():
            name = waiting[endpoint]
            try:
                transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda name=name: _First(name, self._wanted), endpoint
                )
            except OSError as error:
                raise TrafficError(f"{name}: {endpoint[0]} port {endpoint[1]}: {error.strerror}") from error
            self._waiting[endpoint] = transport


class _First(asyncio.DatagramProtocol):
    """Says that a route is wanted when something arrives for it."""

    def __init__(self, name: str, wanted: Callable[[str], None]) -> None:
        self._name = name
        self._wanted = wanted
        self._said = -AGAIN_S

    def datagram_received(self, data: bytes, addr: Any) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._said >= AGAIN_S:
            self._said = now
            self._wanted(self._name)


async def _let_go(family: Family, routes: Sequence[SteeredRoute]) -> None:
    """Delete the entries of flows whose instance is no target any more, so that they come to another."""
    number = socket.AF_INET if family == "ip" else socket.AF_INET6
    try:
        async with _Tracking(nfgen_family=number) as tracking:
            for route in routes:
                address = str(ipaddress.ip_address(route.address))
                kept = {(str(ipaddress.ip_address(one.address)), one.port) for one in route.targets}
                of_route = _Tuple(family=number, daddr=address, proto=socket.IPPROTO_UDP, dport=route.port)
                entries = [entry async for entry in await tracking.dump(tuple_orig=of_route)]
                for entry in entries:
                    asked = _Tuple.from_netlink(number, entry.get_attr("CTA_TUPLE_ORIG"))
                    answered = _Tuple.from_netlink(number, entry.get_attr("CTA_TUPLE_REPLY"))
                    if (asked.proto, asked.daddr, asked.dport) != (socket.IPPROTO_UDP, address, route.port):
                        continue  # a kernel that does not filter
                    if (answered.saddr, answered.sport) not in kept:
                        await _forget(tracking, asked)
    except (_NetlinkError, OSError) as error:
        raise TrafficError(f"flows of UDP are not moved: {error}") from error


async def _forget(tracking: Any, asked: Any) -> None:
    try:
        await tracking.entry("del", tuple_orig=asked)
    except _NetlinkError as error:
        code, *_ = error.args
        if code != errno.ENOENT:  # it has ended by itself
            raise


async def _chains(family: Family) -> list[str] | None:
    """Return the chains of our table; None: there is no table."""
    answer = json.loads(await _nft("-j", "list", "chains", family))["nftables"]
    tables = json.loads(await _nft("-j", "list", "tables", family))["nftables"]
    if not any(one.get("table", {}).get("name") == TABLE for one in tables):
        return None
    chains = [one["chain"] for one in answer if "chain" in one]
    return [chain["name"] for chain in chains if chain["table"] == TABLE]


async def _counters(family: Family) -> dict[str, Counts]:
    answer = json.loads(await _nft("-j", "list", "counters", "table", family, TABLE))["nftables"]
    counters = [one["counter"] for one in answer if "counter" in one]
    return {one["name"]: Counts(requests=one["packets"], received=one["bytes"]) for one in counters}


async def _nft(*arguments: str, script: str | None = None) -> str:
    """Run nft; return what it said. Raises :class:`TrafficError`."""
    if (program := shutil.which("nft")) is None:
        raise TrafficError("nft is not installed (apt install nftables): UDP waits for it")
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problem = await process.communicate((script or "").encode())
    if process.returncode != 0:
        raise TrafficError(f"nft: {problem.decode(errors='replace').strip()[:500]}")
    return said.decode()
