"""Signed node records and revocations: what the network's signer vouches for, and what it takes back.
Pure.
"""

from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from overlayd.model.ids import NodeId
from overlayd.model.node import NodeRecord, SignedRecord


class BadSignature(ValueError):
    """The bytes were not signed by this network's signer; nothing in them may be believed."""


class Revocation(msgspec.Struct, frozen=True, tag_field="type", tag="revocation"):
    """A node that is no member any more, by id and key. ``epoch`` grows by one with each; ``at`` is Unix
    seconds.
    """

    epoch: int
    node: NodeId
    public_key: str
    at: int
    reason: str


@dataclass(frozen=True, slots=True)
class Signer:
    """The online Ed25519 key that signs records and revocations."""

    key: Ed25519PrivateKey

    @property
    def public_hex(self) -> str:
        """The public key in hex, as nodes learn it when they join."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign_record(self, record: NodeRecord) -> SignedRecord:
        """Return the record as JSON with its signature."""
        body = msgspec.json.encode(record)
        return SignedRecord(body, self.key.sign(body))

    def sign_revocation(self, revocation: Revocation) -> tuple[bytes, bytes]:
        """Return the revocation as JSON and its signature.

        A revocation cannot pass for a record: it names its type, and a record's schema refuses the
        unknown key.
        """
        body = msgspec.json.encode(revocation)
        return body, self.key.sign(body)


def verify_record(signed: SignedRecord, signer: str) -> NodeRecord:
    """Return the record that ``signer`` (Ed25519 public key, hex) signed. Raises :class:`BadSignature`."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)).verify(signed.signature, signed.record)
    except InvalidSignature as error:
        raise BadSignature("the record was not signed by this network's signer") from error
    return msgspec.json.decode(signed.record, type=NodeRecord)
