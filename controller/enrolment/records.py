"""Signing node records and revocations: what the network vouches for, and what it takes back. Pure.

Reading them, which needs no private key, is `overlayd.protocol.signed`.
"""

from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from overlayd.model.node import NodeRecord, Revocation, SignedRecord, SignedRevocation


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

    def sign_revocation(self, revocation: Revocation) -> SignedRevocation:
        """Return the revocation as JSON with its signature."""
        body = msgspec.json.encode(revocation)
        return SignedRevocation(body, self.key.sign(body))
