"""What a host asks of a reflector, and what it is answered: STUN binding (RFC 8489), with the change of port,
the other address and the padding of RFC 5780. Pure codec.

Called by `controller.server.reflector` and `overlayd.cli.netcheck.exchange`. Only what is read there is
decoded; other attributes are passed over. An answer is never longer than what asked for it.
"""

import ipaddress
import struct
from typing import TypeAlias

import msgspec

TRANSACTION_BYTES = 12
_REQUEST, _SUCCESS = 0x0001, 0x0101
_COOKIE = 0x2112A442
_HEAD = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_CHANGE_REQUEST, _XOR_MAPPED, _PADDING, _OTHER = 0x0003, 0x0020, 0x0026, 0x802C
_CHANGE_PORT = 0x02
_FAMILIES = {4: 1, 6: 2}

Place: TypeAlias = tuple[str, int]
"""An address and a port."""


class Request(msgspec.Struct, frozen=True):
    """``other_port``: the answer is to come from the reflector's other port. ``size``: bytes of payload, here
    and in the answer; 0: the least that holds the answer.
    """

    transaction: bytes
    other_port: bool = False
    size: int = 0


class Reply(msgspec.Struct, frozen=True):
    """``seen`` is where the question came from; ``other`` where the reflector can be asked too."""

    transaction: bytes
    seen: Place
    other: Place | None = None


class NotStun(ValueError):
    """The datagram is nothing of ours; it is to be passed over."""


def encode_request(request: Request) -> bytes:
    """Return the datagram; its length is a multiple of four."""
    body = b""
    if request.other_port:
        body += _attribute(_CHANGE_REQUEST, struct.pack("!I", _CHANGE_PORT))
    least = _HEAD.size + len(body) + _ATTRIBUTE.size + _longest_reply()
    return _message(_REQUEST, request.transaction, _padded(body, request.size or least))


def decode_request(datagram: bytes) -> Request:
    """Return what is asked. Raises :class:`NotStun`."""
    transaction, attributes = _open(datagram, _REQUEST)
    change = attributes.get(_CHANGE_REQUEST, b"")
    other_port = len(change) == 4 and bool(struct.unpack("!I", change)[0] & _CHANGE_PORT)
    return Request(transaction, other_port, len(datagram))


def encode_reply(reply: Reply, size: int) -> bytes | None:
    """Return the datagram, as long as the question of ``size`` bytes; None: it would be longer."""
    body = _attribute(_XOR_MAPPED, _xored(reply.seen, reply.transaction))
    other = b"" if reply.other is None else _attribute(_OTHER, _plain(reply.other))
    for tried in (body + other, body):
        if _HEAD.size + len(tried) <= size:
            return _message(_SUCCESS, reply.transaction, _padded(tried, size))
    return None


def decode_reply(datagram: bytes) -> Reply:
    """Return the answer. Raises :class:`NotStun`."""
    transaction, attributes = _open(datagram, _SUCCESS)
    if (mapped := attributes.get(_XOR_MAPPED)) is None:
        raise NotStun("it does not say what was seen")
    other = attributes.get(_OTHER)
    return Reply(transaction, _place(mapped, transaction), None if other is None else _place(other, None))


def _longest_reply() -> int:
    """Room for the attributes of an answer over IPv6."""
    return 2 * (_ATTRIBUTE.size + 20)


def _message(kind: int, transaction: bytes, body: bytes) -> bytes:
    return _HEAD.pack(kind, len(body), _COOKIE, transaction) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _padded(body: bytes, size: int) -> bytes:
    """Fill ``body`` so that the message has ``size`` bytes, as far as a multiple of four can."""
    room = (size - _HEAD.size - len(body)) // 4 * 4
    return body + _attribute(_PADDING, bytes(room - _ATTRIBUTE.size)) if room >= _ATTRIBUTE.size else body


def _open(datagram: bytes, wanted: int) -> tuple[bytes, dict[int, bytes]]:
    if len(datagram) < _HEAD.size:
        raise NotStun("too short")
    kind, length, cookie, transaction = _HEAD.unpack_from(datagram)
    if (kind, cookie) != (wanted, _COOKIE) or length != len(datagram) - _HEAD.size:
        raise NotStun("another protocol")
    attributes: dict[int, bytes] = {}
    at = _HEAD.size
    while at + _ATTRIBUTE.size <= len(datagram):
        attribute, size = _ATTRIBUTE.unpack_from(datagram, at)
        at += _ATTRIBUTE.size
        if at + size > len(datagram):
            raise NotStun("an attribute is cut off")
        attributes.setdefault(attribute, datagram[at : at + size])
        at += size + -size % 4
    return transaction, attributes


def _plain(place: Place) -> bytes:
    address = ipaddress.ip_address(place[0])
    return struct.pack("!BBH", 0, _FAMILIES[address.version], place[1]) + address.packed


def _xored(place: Place, transaction: bytes) -> bytes:
    """RFC 8489, 14.2: so that no NAT on the way rewrites what looks like an address."""
    plain = _plain(place)
    mask = struct.pack("!HI", _COOKIE >> 16, _COOKIE) + transaction
    return plain[:2] + bytes(a ^ b for a, b in zip(plain[2:], mask, strict=False))


def _place(value: bytes, transaction: bytes | None) -> Place:
    """Read an address; ``transaction``: it was masked."""
    if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
        raise NotStun("no address")
    if transaction is not None:
        mask = struct.pack("!HI", _COOKIE >> 16, _COOKIE) + transaction
        value = value[:2] + bytes(a ^ b for a, b in zip(value[2:], mask, strict=False))
    return str(ipaddress.ip_address(value[4:])), struct.unpack_from("!H", value, 2)[0]
