"""Neighbours on the local network: announces this node by multicast, hears others of its network do so.

An announcement carries an authentication code keyed by the network's PSK: strangers can neither announce
nor read which network it is. What a replayed one leads to is a link that never comes up. It goes no
further than the local network (TTL 1). An uplink that is bound to ``::`` is left out: what it sends
there has no address that peers could call. I/O.
"""

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import logging
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import asyncio_dgram
import msgspec

from overlayd.agent.messages import NeighbourSeen
from overlayd.daemon.log import fields
from overlayd.model.ids import NodeId

LOG = logging.getLogger(__name__)
GROUP_V4 = "239.255.79.86"
GROUP_V6 = "ff02::4f56"
PORT = 51898
INTERVAL_S = 10.0
_MAGIC = b"OVL1"
_TAG_BYTES = 8
_MAC_BYTES = 16
_LONGEST = 256
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29

Handler: TypeAlias = Callable[[NeighbourSeen], None]


class Announcement(msgspec.Struct, frozen=True, array_like=True):
    """``address`` is None where the uplink is bound to all addresses: then the datagram's source counts."""

    node: NodeId
    address: str | None
    port: int


class Codec:
    """Announcements of one network as datagrams. Pure."""

    def __init__(self, network: int, psk: str) -> None:
        self._key = hashlib.blake2s(bytes.fromhex(psk), person=b"ovl/lan").digest()
        tag = hashlib.blake2s(network.to_bytes(4, "big"), key=self._key, digest_size=_TAG_BYTES).digest()
        self._head = _MAGIC + tag

    def encode(self, announcement: Announcement) -> bytes:
        """Return the datagram."""
        body = self._head + msgspec.msgpack.encode(announcement)
        return body + self._mac(body)

    def decode(self, datagram: bytes) -> Announcement | None:
        """Return the announcement; None for anything that a member of this network did not make."""
        body, mac = datagram[:-_MAC_BYTES], datagram[-_MAC_BYTES:]
        if len(datagram) > _LONGEST or not body.startswith(self._head):
            return None
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.msgpack.decode(body[len(self._head) :], type=Announcement)
        return None

    def _mac(self, body: bytes) -> bytes:
        return hashlib.blake2s(body, key=self._key, digest_size=_MAC_BYTES).digest()


class LanUplink(msgspec.Struct, frozen=True):
    """A UDP socket of the engine."""

    name: str
    address: str
    port: int


class LanDiscovery:
    """``run`` until cancelled, for one network and one set of uplinks."""

    def __init__(
        self, node: NodeId, codec: Codec, uplinks: tuple[LanUplink, ...], handle: Handler, rng: random.Random
    ) -> None:
        self._node = node
        self._codec = codec
        self._uplinks = uplinks
        self._handle = handle
        self._rng = rng

    async def run(self) -> None:
        """Announce and listen on every uplink that has a local network; others are logged and left out."""
        async with contextlib.AsyncExitStack() as streams, asyncio.TaskGroup() as group:
            for uplink in self._uplinks:
                try:
                    group_address, sock = open_socket(uplink)
                except OSError as error:
                    LOG.info(
                        "no discovery on uplink", extra=fields(uplink=uplink.name, problem=error.strerror)
                    )
                    continue
                stream: Any = await asyncio_dgram.from_socket(sock)
                streams.callback(stream.close)
                newcomer = asyncio.Event()
                group.create_task(self._announce(uplink, stream, group_address, newcomer))
                group.create_task(self._listen(uplink, stream, newcomer))

    async def _announce(
        self, uplink: LanUplink, stream: Any, group_address: str, newcomer: asyncio.Event
    ) -> None:
        """Announce regularly, and within a second when somebody new was heard."""
        wildcard = ipaddress.ip_address(uplink.address).is_unspecified
        announcement = Announcement(self._node, None if wildcard else uplink.address, uplink.port)
        datagram = self._codec.encode(announcement)
        while True:
            with contextlib.suppress(OSError):  # the interface may be down for a while
                await stream.send(datagram, (group_address, PORT))
            newcomer.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S * self._rng.uniform(0.8, 1.2)):
                    await newcomer.wait()
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))

    async def _listen(self, uplink: LanUplink, stream: Any, newcomer: asyncio.Event) -> None:
        known: set[str] = set()
        while True:
            try:
                datagram, source = await stream.recv()
            except OSError:
                continue
            announcement = self._codec.decode(datagram)
            if announcement is None or announcement.node == self._node:
                continue
            endpoint = endpoint_of(announcement, source[0])
            if endpoint is None:
                continue
            if endpoint not in known and len(known) < 1000:
                known.add(endpoint)
                newcomer.set()
            self._handle(NeighbourSeen(announcement.node, endpoint, uplink.name))


def endpoint_of(announcement: Announcement, source: str) -> str | None:
    """Return what can be called, None if the announcement names nothing that can."""
    try:
        address = ipaddress.ip_address(announcement.address or source)
    except ValueError:
        return None
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return None
    if not 0 < announcement.port <= 0xFFFF:
        return None
    return f"[{address}]:{announcement.port}" if address.version == 6 else f"{address}:{announcement.port}"


def open_socket(uplink: LanUplink) -> tuple[str, socket.socket]:
    """Return group and socket for the local network of ``uplink``. Raises :class:`OSError` if it has none."""
    address = ipaddress.ip_address(uplink.address)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.version == 4:
            interface = socket.inet_aton(uplink.address)
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            member = socket.inet_aton(GROUP_V4) + interface
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            sock.bind((GROUP_V4, PORT))
            return GROUP_V4, sock
        index = _interface_of(address)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        member = socket.inet_pton(socket.AF_INET6, GROUP_V6) + struct.pack("@I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        sock.bind((GROUP_V6, PORT, 0, index))
        return GROUP_V6, sock
    except OSError:
        sock.close()
        raise


def _interface_of(address: ipaddress.IPv6Address) -> int:
    """The index of the interface that has ``address``, from /proc/net/if_inet6."""
    wanted = address.packed.hex()
    for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
        text, index, *_ = line.split()
        if text == wanted:
            return int(index, 16)
    raise OSError(99, "no interface has its address")
