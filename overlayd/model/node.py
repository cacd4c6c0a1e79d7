"""A node as the network knows it: the signed record that enrolment yields."""

import msgspec

from overlayd.model.ids import NodeId


class Uplink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way from a node into the underlay, as its peers see it.

    ``endpoint`` is ``"198.51.100.7:51900"`` or ``"[2001:db8::7]:51900"``, or None if peers cannot call this
    uplink (behind a NAT). ``rate_bps`` is the configured rate or None; ``mtu`` the largest IP packet in
    bytes.
    """

    name: str
    endpoint: str | None
    mtu: int = 1500
    rate_bps: int | None = None


class NodeRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the controller vouches for. ``addresses`` are overlay addresses, ``prefixes`` all that may be
    announced (addresses included).

    ``public_key`` is the X25519 key of the engine in hex. ``not_after`` is Unix seconds.
    """

    id: NodeId
    name: str
    public_key: str
    addresses: tuple[str, ...]
    prefixes: tuple[str, ...]
    relay: bool
    not_after: int


class SignedRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``record`` is the JSON of a :class:`NodeRecord`, ``signature`` Ed25519 over those bytes by the
    network's signer.
    """

    record: bytes
    signature: bytes
