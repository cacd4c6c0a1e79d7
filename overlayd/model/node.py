"""A node as the network knows it: the signed record that enrolment yields, the revocation that ends it."""

import msgspec

from overlayd.model.ids import NodeId

MAX_SHARDS = 16
"""Of one engine: a lane's number on the wire has four bits for its shard."""


class Uplink(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """One way from a node into the underlay, as its peers see it.

    ``endpoint`` is ``"198.51.100.7:51900"`` or ``"[2001:db8::7]:51900"``, or None if peers cannot call this
    uplink (behind a NAT). ``rate_bps`` is the configured rate or None; ``mtu`` the largest IP packet in
    bytes. ``lanes`` is how many UDP ports there are, from that of the endpoint on: one for each shard of the
    node's engine.

    The controller adds what other nodes see: ``reflexive`` is the address that its datagrams come from where
    that is another, behind a NAT; ``symmetric`` that each of them sees another port there.
    """

    name: str
    endpoint: str | None
    mtu: int = 1500
    rate_bps: int | None = None
    lanes: int = 1
    reflexive: str | None = None
    symmetric: bool = False

    @property
    def nat(self) -> str:
        """What others see of a NAT, in a word: ``""``, ``nat`` or ``symmetric``."""
        if self.reflexive is None:
            return ""
        return "symmetric" if self.symmetric else "nat"


class NodeRecord(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the controller vouches for. ``addresses`` are overlay addresses, ``prefixes`` all that may be
    announced (addresses included).

    ``public_key`` is the X25519 key of the engine in hex. ``not_after`` is Unix seconds. ``epoch`` is that of
    the newest revocation when the node joined: any later one that names it makes the record void.
    """

    id: NodeId
    name: str
    public_key: str
    addresses: tuple[str, ...]
    prefixes: tuple[str, ...]
    relay: bool
    not_after: int
    epoch: int = 0


class SignedRecord(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """``record`` is the JSON of a :class:`NodeRecord`, ``signature`` Ed25519 over those bytes by the
    network's signer.
    """

    record: bytes
    signature: bytes


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="revocation"):
    """A node that is no member any more, by id and key. ``epoch`` grows by one with each; ``at`` is Unix
    seconds.

    It cannot pass for a record: it names its type, and a record's schema refuses the unknown key.
    """

    epoch: int
    node: NodeId
    public_key: str
    at: int
    reason: str

    def voids(self, record: NodeRecord) -> bool:
        """Tell whether ``record`` is of the node that was revoked; one that joined later is another."""
        named = self.node == record.id or self.public_key == record.public_key
        return named and record.epoch < self.epoch


class SignedRevocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``revocation`` is the JSON of a :class:`Revocation`, ``signature`` Ed25519 over those bytes by the
    network's signer.
    """

    revocation: bytes
    signature: bytes
