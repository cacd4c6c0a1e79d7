"""Opens seals with the keys of an engine's key log, layer by layer. Pure but for reading the log."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from scapy.packet import Packet

from tests.dissector import layers, parse

Scope = Literal["hop", "end_to_end"]

_CIPHERS = {"aes256-gcm": AESGCM, "chacha20-poly1305": ChaCha20Poly1305}


@dataclass(frozen=True, slots=True)
class Keys:
    """Ciphers by where an envelope stands and by receiver index. An index may come again: each has a list."""

    ciphers: dict[tuple[Scope, int], list[AESGCM | ChaCha20Poly1305]]

    @classmethod
    def of_lines(cls, lines: Iterable[str]) -> "Keys":
        """From JSON lines of `key_log` events; lines of other events are passed over."""
        ciphers: dict[tuple[Scope, int], list[AESGCM | ChaCha20Poly1305]] = {}
        for line in lines:
            event = json.loads(line)
            if event.get("type") == "key_log":
                cipher = _CIPHERS[event["suite"]](bytes.fromhex(event["key"]))
                ciphers.setdefault((event["scope"], event["receiver_index"]), []).append(cipher)
        return cls(ciphers)

    @classmethod
    def read(cls, path: Path) -> "Keys":
        return cls.of_lines(line for line in path.read_text("utf-8").splitlines() if line)

    def plaintext(self, scope: Scope, sealed: bytes) -> bytes | None:
        """What is under a seal; None without the key."""
        index = int.from_bytes(sealed[4:8], "big")
        nonce = bytes(8) + bytes([sealed[0] & 0x0F]) + sealed[1:4]
        for cipher in self.ciphers.get((scope, index), []):
            try:
                return cipher.decrypt(nonce, sealed[8:], sealed[:8])
            except InvalidTag:
                continue
        return None

    def open(self, data: bytes) -> Packet:
        """A datagram of the underlay with all that the keys open, as one stack of layers."""
        packet = self._open("hop", data)
        if isinstance(packet.payload, layers.Routed):
            route = packet.payload.payload
            inside = self._open("end_to_end", bytes(route.payload))
            route.remove_payload()
            route.add_payload(inside)
        return packet

    def _open(self, scope: Scope, data: bytes) -> Packet:
        packet = parse.datagram(data)
        if not isinstance(packet, layers.Sealed):
            return packet
        plaintext = self.plaintext(scope, data)
        if plaintext is None:
            return packet
        inside = parse.frame(plaintext) if scope == "hop" else parse.body(plaintext)
        return layers.Opened(data[:8]) / inside

    def cut(self, data: bytes) -> list[bytes]:
        """The datagrams of a segmented send, which a capture on a virtual interface shows as one.

        All but the last have one size: there an envelope of the same session follows, and the first opens.
        """
        for size in range(8 + parse.TAG, len(data) - 8 - parse.TAG + 1):
            same_session = data[size] >> 4 == 4 and data[size + 4 : size + 8] == data[4:8]
            if same_session and self.plaintext("hop", data[:size]) is not None:
                return [data[at : at + size] for at in range(0, len(data), size)]
        return [data]
