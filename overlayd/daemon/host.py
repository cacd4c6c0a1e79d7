"""What the overlay changes on the host: interface, addresses, routes to the peers' prefixes, forwarding.

The plan follows from a snapshot (pure, `plan`); `Host` brings the kernel to it and takes it all away again.
Called by `overlayd.daemon.engine`. I/O: netlink, /proc/sys.
"""

import contextlib
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path

from overlayd.daemon.errors import StartError
from overlayd.daemon.log import fields
from overlayd.daemon.netlink import Address, Netlink, NetlinkFailure, Prefix, Route
from overlayd.protocol import engine

LOG = logging.getLogger(__name__)
SYSCTL = Path("/proc/sys/net")


class HostError(StartError):
    """The interface could not be set up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the host should look like. ``skipped`` prefixes must not be routed, each for its reason."""

    addresses: frozenset[Address]
    routes: frozenset[Route]
    forward_ipv4: bool
    forward_ipv6: bool
    skipped: tuple[tuple[Prefix, str], ...]


NOTHING = Plan(frozenset(), frozenset(), False, False, ())


def plan(snapshot: engine.Snapshot, underlay: Iterable[Address]) -> Plan:
    """Return what ``snapshot`` wants of the host. ``underlay`` are the addresses of this host's own uplinks.

    A prefix that holds an underlay address (ours or a peer's) is skipped: datagrams would be sent into the
    tunnel that they carry.
    """
    addresses = [ipaddress.ip_address(text) for text in snapshot.node.addresses]
    local = [ipaddress.ip_network(text) for text in snapshot.node.prefixes]
    remotes = (endpoint_address(link.remote) for link in snapshot.links if link.remote is not None)
    endpoints = sorted({*underlay, *remotes}, key=lambda address: (address.version, address))
    routes: set[Route] = set()
    skipped: list[tuple[Prefix, str]] = []
    for prefix in dict.fromkeys(
        ipaddress.ip_network(text) for peer in snapshot.peers for text in peer.prefixes
    ):
        held = next((address for address in endpoints if address in prefix), None)
        if held is not None:
            skipped.append((prefix, f"it holds the underlay address {held}"))
        elif prefix in local:
            skipped.append((prefix, "it is announced by this host"))
        else:
            source = next((address for address in addresses if address.version == prefix.version), None)
            routes.add(Route(prefix, source))
    behind = [prefix for prefix in local if prefix.num_addresses > 1]
    return Plan(
        addresses=frozenset(addresses),
        routes=frozenset(routes),
        forward_ipv4=any(prefix.version == 4 for prefix in behind),
        forward_ipv6=any(prefix.version == 6 for prefix in behind),
        skipped=tuple(skipped),
    )


def endpoint_address(endpoint: str) -> Address:
    """``"198.51.100.7:51900"`` or ``"[2001:db8::7]:51900"`` → the address."""
    return ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]"))


class Host:
    """The overlay interface, which must exist. Failures after ``open`` are logged and tried anew."""

    def __init__(self, interface: str, mtu: int, underlay: Iterable[Address]) -> None:
        self._interface = interface
        self._mtu = mtu
        self._underlay = tuple(underlay)
        self._netlink: Netlink | None = None
        self._addresses: set[Address] = set()
        self._routes: set[Route] = set()
        self._skipped: tuple[tuple[Prefix, str], ...] = ()
        self._sysctls = Sysctls()

    async def open(self) -> None:
        """Bring the interface up; what a life before left on it is ours. Raises :class:`HostError`."""
        try:
            self._netlink = await Netlink.open(socket.if_nametoindex(self._interface))
            await self._netlink.bring_up(self._mtu)
            self._addresses = await self._netlink.addresses()
            self._routes = await self._netlink.routes()
        except (NetlinkFailure, OSError) as error:
            raise HostError(f"interface {self._interface} cannot be set up: {error}") from error

    async def apply(self, snapshot: engine.Snapshot) -> None:
        """Bring addresses, routes and forwarding to what ``snapshot`` wants."""
        wanted = plan(snapshot, self._underlay)
        if wanted.skipped != self._skipped:
            for prefix, reason in wanted.skipped:
                LOG.warning("prefix of a peer is not routed", extra=fields(prefix=prefix, reason=reason))
            self._skipped = wanted.skipped
        await self._change(wanted)
        self._forward(wanted)

    async def change(self, mtu: int, underlay: Iterable[Address]) -> None:
        """Take another MTU and other underlay addresses; these count from the next snapshot on.

        Raises :class:`HostError`, and then nothing has changed.
        """
        if mtu != self._mtu and self._netlink is not None:
            try:
                await self._netlink.set_mtu(mtu)
            except NetlinkFailure as error:
                raise HostError(f"engine.mtu: {self._interface} does not take {mtu}: {error}") from error
        self._mtu, self._underlay = mtu, tuple(underlay)

    async def clear(self) -> None:
        """Take routes, addresses and forwarding away."""
        await self._change(NOTHING)
        self._sysctls.restore()

    async def hand_over(self) -> None:
        """Leave addresses and routes to the next life of this process, forwarding as it was before ours."""
        self._sysctls.restore()
        if self._netlink is not None:
            self._netlink.close()

    async def close(self) -> None:
        """Leave the host as it was, but for the interface itself."""
        await self.clear()
        if self._netlink is not None:
            self._netlink.close()

    async def _change(self, wanted: Plan) -> None:
        """Old routes leave before the addresses they name; new addresses come before their routes."""
        if (netlink := self._netlink) is None:
            return
        for route in self._routes - wanted.routes:
            if await _done(netlink.remove_route(route), "route not taken away", route.prefix):
                self._routes.remove(route)
        for address in self._addresses - wanted.addresses:
            if await _done(netlink.remove_address(address), "address not taken away", address):
                self._addresses.remove(address)
        for address in wanted.addresses - self._addresses:
            if await _done(netlink.set_address(address), "address not set", address):
                self._addresses.add(address)
        for route in wanted.routes - self._routes:
            if await _done(netlink.set_route(route), "route not set", route.prefix):
                self._routes.add(route)

    def _forward(self, wanted: Plan) -> None:
        """Let the kernel forward between the overlay and the networks behind this host."""
        if wanted.forward_ipv4:
            self._sysctls.set(SYSCTL / "ipv4/ip_forward", "1")
        if wanted.forward_ipv6:
            # A forwarding host does not listen to router advertisements (RFC 4861, 6.2.1) unless told to: it
            # would lose its own default route.
            for accept in sorted((SYSCTL / "ipv6/conf").glob("*/accept_ra")):
                if accept.parent.name not in ("all", "default", self._interface) and _read(accept) == "1":
                    self._sysctls.set(accept, "2")
            self._sysctls.set(SYSCTL / "ipv6/conf/all/forwarding", "1")


class Sysctls:
    """Kernel parameters that were changed, with what they were before."""

    def __init__(self) -> None:
        self._before: dict[Path, str] = {}

    def set(self, file: Path, value: str) -> None:
        """Set a parameter; a refusal is logged, with what to do instead."""
        before = _read(file)
        if before is None or before == value:
            return
        try:
            file.write_text(value)
        except OSError as error:
            name = str(file.relative_to("/proc/sys")).replace("/", ".")
            remedy = f"set {name} = {value} in /etc/sysctl.d"
            LOG.error("kernel parameter not set", extra=fields(problem=error.strerror, remedy=remedy))
            return
        self._before.setdefault(file, before)

    def restore(self) -> None:
        """Set everything back, last first."""
        for file, value in reversed(self._before.items()):
            with contextlib.suppress(OSError):
                file.write_text(value)
        self._before.clear()


async def _done(change: Awaitable[None], failure: str, what: Address | Prefix) -> bool:
    try:
        await change
    except NetlinkFailure as error:
        LOG.warning(failure, extra=fields(what=what, problem=error))
        return False
    return True


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
