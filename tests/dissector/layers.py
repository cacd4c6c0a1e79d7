"""Every frame of the wire format as a scapy layer: fields and a line of summary. Pure.

What is refused, and why, stands in `parse`.
"""

from scapy.fields import (
    BitField,
    ByteField,
    FieldListField,
    FlagsField,
    IntField,
    LongField,
    ShortField,
    ThreeBytesField,
    XIntField,
    XShortField,
    XStrField,
    XStrFixedLenField,
)
from scapy.packet import Packet


class Init(Packet):
    name = "handshake init"
    fields_desc = [  # noqa: RUF012
        BitField("kind", 1, 4),
        BitField("zero", 0, 4),
        ByteField("version", 1),
        XShortField("capabilities", 0),
        XIntField("network", 0),
        XIntField("sender", 0),
        XStrFixedLenField("noise", bytes(116), 116),
        XStrFixedLenField("mac1", bytes(16), 16),
        XStrFixedLenField("mac2", bytes(16), 16),
    ]

    def mysummary(self) -> str:
        return self.sprintf("init of version %version% from index %sender%, network %network%")


class Response(Packet):
    name = "handshake response"
    fields_desc = [  # noqa: RUF012
        BitField("kind", 2, 4),
        BitField("zero", 0, 4),
        ByteField("version", 1),
        XShortField("capabilities", 0),
        XIntField("sender", 0),
        XIntField("receiver", 0),
        XStrFixedLenField("noise", bytes(64), 64),
        XStrFixedLenField("mac1", bytes(16), 16),
        XStrFixedLenField("mac2", bytes(16), 16),
    ]

    def mysummary(self) -> str:
        return self.sprintf("response from index %sender% to %receiver%")


class CookieReply(Packet):
    name = "cookie reply"
    fields_desc = [  # noqa: RUF012
        BitField("kind", 3, 4),
        BitField("zero", 0, 28),
        XIntField("receiver", 0),
        XStrFixedLenField("nonce", bytes(16), 16),
        XStrFixedLenField("sealed", bytes(32), 32),
    ]

    def mysummary(self) -> str:
        return self.sprintf("cookie reply to index %receiver%")


class Sealed(Packet):
    """An envelope, still sealed."""

    name = "sealed"
    fields_desc = [  # noqa: RUF012
        BitField("kind", 4, 4),
        BitField("counter", 0, 28),
        XIntField("receiver", 0),
        XStrField("ciphertext", b""),
    ]

    def mysummary(self) -> str:
        return self.sprintf("sealed #%counter% to index %receiver%, no key")


class Opened(Packet):
    """An envelope whose content follows as the payload."""

    name = "opened"
    fields_desc = [  # noqa: RUF012
        BitField("kind", 4, 4),
        BitField("counter", 0, 28),
        XIntField("receiver", 0),
    ]

    def mysummary(self) -> str:
        return self.sprintf("#%counter% to index %receiver%")


class _Protected(Packet):
    fields_desc = [  # noqa: RUF012
        BitField("type", 1, 4),
        BitField("service_class", 0, 4),
        ThreeBytesField("seq", 0),
        ShortField("budget", 0),
    ]

    def mysummary(self) -> str:
        left = "no deadline" if self.budget == 0xFFFF else f"{self.budget / 10} ms left"
        return f"{self.name} class {self.service_class} seq {self.seq}, {left}"


class Direct(_Protected):
    name = "direct"


class Routed(_Protected):
    name = "routed"


class Repair(Packet):
    name = "repair"
    fields_desc = [  # noqa: RUF012
        BitField("type", 3, 4),
        BitField("service_class", 0, 4),
        ShortField("budget", 0),
        ThreeBytesField("first", 0),
        ByteField("span", 1),
        ByteField("row", 0),
        XStrField("symbol", b""),
    ]

    def mysummary(self) -> str:
        return f"repair class {self.service_class} row {self.row} of {self.span} from seq {self.first}"


class Feedback(Packet):
    name = "feedback"
    fields_desc = [  # noqa: RUF012
        BitField("type", 4, 4),
        BitField("service_class", 0, 4),
        ThreeBytesField("next", 0),
        ThreeBytesField("base", 0),
        FlagsField("flags", 0, 8, ["answers_tail"]),
        XStrField("bitmap", b""),
    ]

    def missing(self) -> list[int]:
        """Sequence numbers (24 bits) that the bitmap asks for."""
        bits = "".join(f"{byte:08b}" for byte in self.bitmap)
        return [(self.base + i) % (1 << 24) for i, bit in enumerate(bits) if bit == "1"]

    def mysummary(self) -> str:
        answer = ", answers a tail" if self.flags.answers_tail else ""
        known = f"base {self.base} next {self.next} wants {self.missing()}"
        return f"feedback class {self.service_class} {known}{answer}"


class Tail(Packet):
    name = "tail"
    fields_desc = [  # noqa: RUF012
        BitField("type", 5, 4),
        BitField("service_class", 0, 4),
        ThreeBytesField("next", 0),
    ]

    def mysummary(self) -> str:
        return f"tail class {self.service_class}: all below {self.next}?"


class LinkProbe(Packet):
    name = "probe"
    fields_desc = [  # noqa: RUF012
        BitField("type", 6, 4),
        BitField("pace", 0, 4),
        ThreeBytesField("seq", 0),
        LongField("sent_ns", 0),
        IntField("sent", 0),
        XStrField("padding", b""),
    ]

    def mysummary(self) -> str:
        return f"probe {self.seq}, {self.sent} sent, {len(self.padding)} bytes of padding"


class LinkProbeReply(Packet):
    name = "probe reply"
    fields_desc = [  # noqa: RUF012
        BitField("type", 7, 4),
        BitField("pace", 0, 4),
        ThreeBytesField("seq", 0),
        LongField("sent_ns", 0),
        IntField("hold_ns", 0),
        LongField("received_ns", 0),
        IntField("sent", 0),
        IntField("received", 0),
        ShortField("received_size", 0),
    ]

    def mysummary(self) -> str:
        return f"probe reply {self.seq}, {self.received} of {self.sent} received, {self.received_size} bytes"


class Counterprobe(Packet):
    name = "counterprobe"
    fields_desc = [ThreeBytesField("seq", 0), IntField("sent", 0)]  # noqa: RUF012

    def mysummary(self) -> str:
        return f"probe {self.seq}, {self.sent} sent"


class PathChallenge(Packet):
    name = "path challenge"
    fields_desc = [  # noqa: RUF012
        BitField("type", 8, 4),
        BitField("service_class", 0, 4),
        XStrFixedLenField("nonce", bytes(8), 8),
    ]

    def mysummary(self) -> str:
        return f"path challenge {self.nonce.hex()}"


class PathResponse(Packet):
    name = "path response"
    fields_desc = [  # noqa: RUF012
        BitField("type", 9, 4),
        BitField("service_class", 0, 4),
        XStrFixedLenField("nonce", bytes(8), 8),
    ]

    def mysummary(self) -> str:
        return f"path response {self.nonce.hex()}"


class Close(Packet):
    name = "close"
    fields_desc = [  # noqa: RUF012
        BitField("type", 10, 4),
        BitField("service_class", 0, 4),
        ByteField("reason", 0),
    ]

    def mysummary(self) -> str:
        return f"close, reason {self.reason}"


class Route(Packet):
    name = "route"
    fields_desc = [  # noqa: RUF012
        BitField("count", 1, 3),
        BitField("left", 0, 3),
        BitField("ce", 0, 1),
        BitField("zero", 0, 1),
        ByteField("generation", 0),
        ShortField("source", 0),
        FieldListField("segments", [], ShortField("node", 0), count_from=lambda route: route.count),
    ]

    def here(self) -> int:
        """The node that is to hold the frame now."""
        return self.segments[self.count - 1 - self.left]

    def mysummary(self) -> str:
        at = self.count - 1 - self.left
        nodes = [f"[{node}]" if i == at else str(node) for i, node in enumerate(self.segments)]
        return " > ".join([str(self.source), *nodes]) + (" CE" if self.ce else "")


class PacketBody(Packet):
    """The inner packet follows as the payload."""

    name = "packet"
    fields_desc = [BitField("shape", 1, 4), FlagsField("flags", 0, 4, ["partial_checksum"])]  # noqa: RUF012

    def mysummary(self) -> str:
        return "packet"


class Bundle(Packet):
    name = "bundle"
    fields_desc = [BitField("shape", 2, 4), BitField("flags", 0, 4), XStrField("items", b"")]  # noqa: RUF012

    def packets(self) -> list[bytes]:
        """The inner packets; the bundle was checked before."""
        packets: list[bytes] = []
        rest = self.items
        while rest:
            length = int.from_bytes(rest[:2], "big")
            packets.append(rest[2 : 2 + length])
            rest = rest[2 + length :]
        return packets

    def mysummary(self) -> str:
        return f"bundle of {len(self.packets())}"


class Run(Packet):
    """The inner packet follows as the payload."""

    name = "run"
    fields_desc = [  # noqa: RUF012
        BitField("shape", 3, 4),
        FlagsField("flags", 0, 4, ["partial_checksum", "first", "last"]),
        ByteField("run", 0),
        ByteField("index", 0),
    ]

    def mysummary(self) -> str:
        ends = "".join(f" {end}" for end in ("first", "last") if getattr(self.flags, end))
        return f"run {self.run} [{self.index}]{ends}"


class Piece(Packet):
    name = "piece"
    fields_desc = [  # noqa: RUF012
        BitField("shape", 4, 4),
        FlagsField("flags", 0, 4, ["second"]),
        ShortField("id", 0),
        XStrField("bytes", b""),
    ]

    def mysummary(self) -> str:
        return f"piece {2 if self.flags.second else 1} of id {self.id}, {len(self.bytes)} bytes"


class PathProbe(Packet):
    name = "path probe"
    fields_desc = [  # noqa: RUF012
        BitField("shape", 5, 4),
        BitField("flags", 0, 4),
        ByteField("slot", 0),
        IntField("seq", 0),
        LongField("sent_ns", 0),
        IntField("sent", 0),
        XStrField("padding", b""),
    ]

    def mysummary(self) -> str:
        padding = f"{len(self.padding)} bytes of padding"
        return f"path probe {self.seq} on slot {self.slot}, {self.sent} sent, {padding}"


class PathProbeReply(Packet):
    name = "path probe reply"
    fields_desc = [  # noqa: RUF012
        BitField("shape", 6, 4),
        BitField("flags", 0, 4),
        ByteField("slot", 0),
        IntField("seq", 0),
        LongField("sent_ns", 0),
        IntField("hold_ns", 0),
        IntField("sent", 0),
        IntField("received", 0),
    ]

    def mysummary(self) -> str:
        return f"path probe reply {self.seq} on slot {self.slot}, {self.received} of {self.sent} received"
