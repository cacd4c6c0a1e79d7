"""Bytes to layers, refusing what the page refuses, and for the same reason as the engine. Pure."""

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from tests.dissector import layers

VERSION = 1
TAG = 16
INIT_BYTES, RESPONSE_BYTES = 160, 108


class Malformed(ValueError):
    """The engine would drop these bytes; the text is the name of its reason."""


def datagram(data: bytes) -> Packet:
    """A whole datagram of the underlay, or what stands behind a route: section 1."""
    match _nibble(data):
        case 1:
            return _handshake(layers.Init, data, INIT_BYTES)
        case 2:
            return _handshake(layers.Response, data, RESPONSE_BYTES)
        case 3:
            _require(data[0] == 0x30 and not any(data[1:4]), "reserved")
            return layers.CookieReply(_exactly(data, 56))
        case 4:
            return layers.Sealed(_at_least(data, 8 + TAG))
        case _:
            raise Malformed("unknown_kind")


def _handshake(layer: type[Packet], data: bytes, size: int) -> Packet:
    _require(data[0] & 0x0F == 0, "reserved")
    _require(_at_least(data, 2)[1] == VERSION, "unknown_version")
    return layer(_exactly(data, size))


def frame(data: bytes) -> Packet:
    """The plaintext under a hop seal: section 2. The payload of a direct frame is its body, else a route."""
    match _nibble(data):
        case 1:
            inside = body(_behind(data, 6))
            return layers.Direct(data[:6]) / inside
        case 2:
            inside = route(_behind(data, 6))
            return layers.Routed(data[:6]) / inside
        case 3:
            packet = layers.Repair(_at_least(data, 8))
            _require(1 <= packet.span <= 128 and packet.row < 32, "bad_value")
            _behind(data, 8)
            return packet
        case 4:
            packet = layers.Feedback(_at_least(data, 8))
            _require(int(packet.flags) & ~1 == 0, "reserved")
            _require(len(packet.bitmap) <= 1024, "bad_length")
            return packet
        case 5:
            return layers.Tail(_exactly(data, 4))
        case 6:
            return layers.LinkProbe(_at_least(data, 16))
        case 7:
            if len(data) <= 34:
                return layers.LinkProbeReply(_exactly(data, 34))
            return layers.LinkProbeReply(data[:34]) / layers.Counterprobe(_exactly(data[34:], 7))
        case 8:
            return layers.PathChallenge(_exactly(data, 9))
        case 9:
            return layers.PathResponse(_exactly(data, 9))
        case 10:
            return layers.Close(_exactly(data, 2))
        case _:
            raise Malformed("unknown_type")


def route(data: bytes) -> Packet:
    """A route with the end-to-end datagram, raw, as payload: section 3."""
    head = layers.Route(_at_least(data, 4)[:4])
    _require(head.zero == 0, "reserved")
    _require(1 <= head.count <= 5 and head.left < head.count, "bad_route")
    size = 4 + 2 * head.count
    packet = layers.Route(_at_least(data, size)[:size])
    nodes = [packet.source, *packet.segments]
    _require(len(set(nodes)) == len(nodes), "repeated_node")
    return packet / Raw(_behind(data, size))


def body(data: bytes) -> Packet:
    """The plaintext under an end-to-end seal, and the rest of a direct frame: section 4."""
    match _nibble(data):
        case 1:
            _flags(data, 1)
            return layers.PacketBody(data[:1]) / _loose_inner(_behind(data, 1))
        case 2:
            _flags(data, 0)
            _check_bundle(data[1:])
            return layers.Bundle(data)
        case 3:
            _flags(data, 7)
            inside = _loose_inner(_behind(data, 3))
            return layers.Run(data[:3]) / inside
        case 4:
            _flags(data, 1)
            _behind(data, 3)
            return layers.Piece(data)
        case 5:
            _flags(data, 0)
            return layers.PathProbe(_at_least(data, 18))
        case 6:
            _flags(data, 0)
            return layers.PathProbeReply(_exactly(data, 26))
        case _:
            raise Malformed("unknown_shape")


def _check_bundle(items: bytes) -> None:
    while True:
        length = int.from_bytes(_at_least(items, 2)[:2], "big")
        _require(length > 0, "bad_length")
        items = _at_least(items, 2 + length)[2 + length :]
        if not items:
            return


def inner(data: bytes) -> Packet:
    """An inner packet whose header is sound."""
    match _nibble(data):
        case 4:
            header, total = (_at_least(data, 20)[0] & 0x0F) * 4, int.from_bytes(data[2:4], "big")
            _require(20 <= header <= len(data), "bad_inner")
            _require(total == len(data), "bad_length")
            return IP(data)
        case 6:
            _require(40 + int.from_bytes(_at_least(data, 40)[4:6], "big") == len(data), "bad_length")
            return IPv6(data)
        case _:
            raise Malformed("bad_inner")


def _loose_inner(data: bytes) -> Packet:
    """Dissected where it is IP: a body does not look into its packet."""
    try:
        return inner(data)
    except Malformed:
        return Raw(data)


def _nibble(data: bytes) -> int:
    return _at_least(data, 1)[0] >> 4


def _flags(data: bytes, known: int) -> None:
    _require(data[0] & 0x0F & ~known == 0, "reserved")


def _at_least(data: bytes, size: int) -> bytes:
    _require(len(data) >= size, "truncated")
    return data


def _exactly(data: bytes, size: int) -> bytes:
    _require(len(_at_least(data, size)) == size, "bad_length")
    return data


def _behind(data: bytes, size: int) -> bytes:
    return _at_least(data, size + 1)[size:]


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise Malformed(reason)
