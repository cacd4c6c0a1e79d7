"""A conversation under both seals, opened with its key log; and the same as a capture."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

from tests.dissector import capture, layers, noise, parse
from tests.dissector.keys import Keys

ROOT = Path(__file__).parents[2]
CONVERSATIONS = json.loads((ROOT / "tests/vectors/session.json").read_text("utf-8"))["conversations"]
SUITES = {"aes256-gcm": 1, "chacha20-poly1305": 2}
INNER = "10.77.0.1", "10.77.0.2"


@pytest.fixture(params=CONVERSATIONS, ids=lambda conversation: conversation["suite"])
def conversation(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture
def keys(conversation: dict[str, Any]) -> Keys:
    return Keys.of_lines(json.dumps(line) for line in conversation["keys"])


def bytes_of(conversation: dict[str, Any], name: str) -> bytes:
    (found,) = (bytes.fromhex(item["hex"]) for item in conversation["datagrams"] if item["name"] == name)
    return found


def test_sealed_datagrams_open_to_the_frames_that_were_sealed(
    conversation: dict[str, Any], keys: Keys
) -> None:
    sealed = [item for item in conversation["datagrams"] if "frame" in item]
    assert len(sealed) == 4
    for item in sealed:
        assert keys.plaintext("hop", bytes.fromhex(item["hex"])) == bytes.fromhex(item["frame"])


def test_a_direct_frame_has_one_seal_and_a_routed_one_two(conversation: dict[str, Any], keys: Keys) -> None:
    direct = keys.open(bytes_of(conversation, "direct packet"))
    assert direct.layers()[:5] == [layers.Opened, layers.Direct, layers.PacketBody, IP, UDP]
    routed = keys.open(bytes_of(conversation, "routed packet"))
    expected = [layers.Opened, layers.Routed, layers.Route, layers.Opened, layers.PacketBody, IP, UDP]
    assert routed.layers()[:7] == expected
    assert (routed[IP].src, routed[IP].dst) == INNER


def test_a_relay_sees_the_route_and_no_more(conversation: dict[str, Any]) -> None:
    hop_only = Keys.of_lines(json.dumps(line) for line in conversation["keys"] if line["scope"] == "hop")
    packet = hop_only.open(bytes_of(conversation, "routed packet"))
    assert packet.layers() == [layers.Opened, layers.Routed, layers.Route, layers.Sealed]
    assert packet[layers.Route].segments == [7, 2]


def test_without_keys_only_envelopes_are_seen(conversation: dict[str, Any]) -> None:
    for name in ("direct packet", "routed packet", "tail"):
        data = bytes_of(conversation, name)
        assert Keys({}).open(data).layers() == [layers.Sealed]
        assert IPv6 not in parse.datagram(data)
        assert bytes([10, 77, 0]) not in data


def test_a_changed_datagram_does_not_open(conversation: dict[str, Any], keys: Keys) -> None:
    data = bytearray(bytes_of(conversation, "direct packet"))
    data[-1] ^= 1
    assert keys.open(bytes(data)).layers() == [layers.Sealed]


@pytest.mark.parametrize(("name", "scope"), [("hop", 0), ("end to end", 1)])
def test_inits_are_read_by_an_independent_noise(conversation: dict[str, Any], name: str, scope: int) -> None:
    ingress, egress = (bytes.fromhex(conversation["private_keys"][node]) for node in "12")
    message = bytes_of(conversation, f"{name} init")
    setting = {"network": conversation["network"], "suite": SUITES[conversation["suite"]]}
    hello = noise.read_init(message, egress, **setting, scope=scope)
    assert hello.initiator == noise.public_key(ingress)
    node, lane, reserved, boot, _ = struct.unpack(">HBBQQ", hello.payload)
    assert (node, lane, reserved, boot) == (1, 0, 0, 1)
    with pytest.raises(InvalidTag):
        noise.read_init(message, egress, **setting, scope=1 - scope)


def test_macs_are_made_with_the_receivers_key(conversation: dict[str, Any]) -> None:
    ingress, egress = (noise.public_key(bytes.fromhex(conversation["private_keys"][node])) for node in "12")
    for scope in ("hop", "end to end"):
        for kind, receiver in (("init", egress), ("response", ingress)):
            message = bytes_of(conversation, f"{scope} {kind}")
            assert message[-32:-16] == noise.mac1(message, receiver)


def test_a_segmented_send_is_cut_into_its_datagrams(conversation: dict[str, Any], keys: Keys) -> None:
    direct, tail = bytes_of(conversation, "direct packet"), bytes_of(conversation, "tail")
    found = capture.decode(direct + direct + tail, keys)
    assert [packet.layers()[1] for packet in found if isinstance(packet, Packet)] == [
        layers.Direct,
        layers.Direct,
        layers.Tail,
    ]


def test_what_leaves_together_with_a_handshake_is_cut_from_it(
    conversation: dict[str, Any], keys: Keys
) -> None:
    response, tail = bytes_of(conversation, "hop response"), bytes_of(conversation, "tail")
    first, second = capture.decode(response + tail, keys)
    assert isinstance(first, layers.Response)
    assert isinstance(second, Packet) and second.layers()[1] == layers.Tail


def test_a_capture_is_printed_with_the_way_of_each_datagram(
    conversation: dict[str, Any], tmp_path: Path
) -> None:
    path, log = tmp_path / "lab.pcap", tmp_path / "keys.jsonl"
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    below = ether / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=51820, dport=51821)
    packets = [
        below / bytes.fromhex(item["hex"])
        for item in conversation["datagrams"]
        if item["name"].startswith("hop") or "frame" in item
    ]
    others = ether / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=5353, dport=5353) / b"\xff\xff"
    wrpcap(str(path), [*packets, others])
    events = [*conversation["keys"], {"type": "counters"}]
    log.write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
    command = [sys.executable, "-m", "tests.dissector", str(path), str(log), "--port", "51821"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(packets)
    assert all("192.0.2.1:51820 > 192.0.2.2:51821" in line for line in lines)
    assert "init of version 1" in lines[0] and "response from index" in lines[1]
    assert "1 > [7] > 2" in lines[3] and "10.77.0.1:4660 > 10.77.0.2:" in lines[3]
    assert "tail class 2: all below 6?" in lines[5]
    everything = list(capture.lines(path, Keys({})))
    assert everything[-1].endswith("malformed: unknown_kind")
