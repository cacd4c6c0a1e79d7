"""The dissector and the Rust codec agree on what bytes mean, and on what is refused and why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrFragment
from scapy.packet import Packet

from tests.dissector import layers, parse

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/wire.json").read_text("utf-8"))

Fields = dict[str, Any]


def of_datagram(packet: Packet) -> Fields:
    match packet:
        case layers.Init():
            return _named("init", packet, "capabilities network sender noise mac1 mac2")
        case layers.Response():
            return _named("response", packet, "capabilities sender receiver noise mac1 mac2")
        case layers.CookieReply():
            return _named("cookie_reply", packet, "receiver nonce sealed")
        case _:
            nonce = bytes(8) + packet.counter.to_bytes(4, "big")
            return {**_named("sealed", packet, "counter receiver ciphertext"), "nonce": nonce.hex()}


def _named(kind: str, packet: Packet, names: str) -> Fields:
    return {"kind": kind, **_fields(packet, names)}


def of_frame(packet: Packet) -> Fields:
    kind = {"type": packet.name.replace(" ", "_")}
    protected = kind | {"class": getattr(packet, "service_class", None)}
    match packet:
        case layers.Direct():
            return {**protected, **_fields(packet, "seq budget"), "body": of_body(packet.payload)}
        case layers.Routed():
            return {**protected, **_fields(packet, "seq budget"), "route": of_route(packet.payload)}
        case layers.Repair():
            return {**protected, **_fields(packet, "budget first span row symbol")}
        case layers.Feedback():
            extra = {"answers_tail": bool(packet.flags.answers_tail), "missing": packet.missing()}
            return {**protected, **_fields(packet, "next base"), **extra}
        case layers.Tail():
            return {**protected, **_fields(packet, "next")}
        case layers.LinkProbe():
            return {**kind, **_fields(packet, "pace seq sent_ns sent")}
        case layers.LinkProbeReply():
            names = "pace seq sent_ns hold_ns received_ns sent received received_size"
            asked = _fields(packet.payload, "seq sent") if packet.payload else None
            return {**kind, **_fields(packet, names), "counterprobe": asked}
        case layers.Close():
            return {"type": "close", "reason": packet.reason}
        case _:
            return {"type": protected["type"], "nonce": packet.nonce.hex()}


def of_route(packet: Packet) -> Fields:
    at = packet.count - packet.left
    return {
        **_fields(packet, "left generation source"),
        "ce": bool(packet.ce),
        "segments": packet.segments,
        "here": packet.here(),
        "next": packet.segments[at] if packet.left else None,
        "datagram": bytes(packet.payload).hex(),
    }


def of_body(packet: Packet) -> Fields:
    shape = {"shape": packet.name.replace(" ", "_")}
    inner = {"packet": bytes(packet.payload).hex()}
    match packet:
        case layers.PacketBody():
            return {**shape, **inner, **_flags(packet, "partial_checksum")}
        case layers.Bundle():
            return {**shape, "packets": [item.hex() for item in packet.packets()]}
        case layers.Run():
            flags = _flags(packet, "partial_checksum first last")
            return {**shape, **inner, **_fields(packet, "run index"), **flags}
        case layers.Piece():
            return {**shape, **_fields(packet, "id bytes"), **_flags(packet, "second")}
        case layers.PathProbe():
            return {**shape, **_fields(packet, "slot seq sent_ns sent")}
        case _:
            return {**shape, **_fields(packet, "slot seq sent_ns hold_ns sent received")}


def of_inner(packet: Packet) -> Fields:
    traffic_class = packet.tos if isinstance(packet, IP) else packet.tc
    transport = packet.getlayer(UDP) or packet.getlayer(TCP)
    fragment = packet.getlayer(IPv6ExtHdrFragment)
    end = len(packet) - len(transport) if transport else 40 + 8
    return {
        "source": packet.src,
        "destination": packet.dst,
        "protocol": {UDP: 17, TCP: 6}[type(transport)] if transport else fragment.nh,
        "ports": [transport.sport, transport.dport] if transport else None,
        "dscp": traffic_class >> 2,
        "ecn": traffic_class & 3,
        "transport": end,
        "fragment": fragment is not None,
    }


def _fields(packet: Packet, names: str) -> Fields:
    values = {name: getattr(packet, name) for name in names.split()}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}


def _flags(packet: Packet, names: str) -> Fields:
    return {name: bool(getattr(packet.flags, name)) for name in names.split()}


READERS: dict[str, tuple[Callable[[bytes], Packet], Callable[[Packet], Fields]]] = {
    "datagram": (parse.datagram, of_datagram),
    "frame": (parse.frame, of_frame),
    "route": (parse.route, of_route),
    "body": (parse.body, of_body),
    "inner": (parse.inner, of_inner),
}


def _vectors(kind: str) -> list[Any]:
    vectors = [vector for vector in VECTORS[kind] if vector["layer"] in READERS]
    return [pytest.param(vector, id=f"{vector['layer']}: {vector['name']}") for vector in vectors]


@pytest.mark.parametrize("vector", _vectors("accepted"))
def test_accepted_bytes_mean_the_same(vector: Fields) -> None:
    read, meaning = READERS[vector["layer"]]
    data = bytes.fromhex(vector["hex"])
    packet = read(data)
    assert meaning(packet) == vector["fields"]
    assert bytes(packet) == data, "and are built the same"


@pytest.mark.parametrize("vector", _vectors("refused"))
def test_refused_bytes_are_refused_for_the_same_reason(vector: Fields) -> None:
    read, _ = READERS[vector["layer"]]
    with pytest.raises(parse.Malformed) as refused:
        read(bytes.fromhex(vector["hex"]))
    assert str(refused.value) == vector["error"]


def test_every_layer_has_vectors_of_both_kinds() -> None:
    for kind in ("accepted", "refused"):
        assert {vector["layer"] for vector in VECTORS[kind]} >= set(READERS)


@pytest.mark.parametrize("vector", _vectors("accepted"))
def test_a_truncation_is_refused_or_means_something_else(vector: Fields) -> None:
    read, meaning = READERS[vector["layer"]]
    data = bytes.fromhex(vector["hex"])
    for length in range(len(data)):
        try:
            assert meaning(read(data[:length])) != vector["fields"] or vector["name"].endswith(
                "probe, padded"
            )
        except parse.Malformed:
            continue
