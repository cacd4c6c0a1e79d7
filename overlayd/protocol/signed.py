"""Reading node records and revocations: none is used that the network's signer did not sign. Pure.

Expiry is not enforced here: a host whose clock jumps by years must keep its mesh, and a node that is no
longer a member is revoked. Signing is the controller's (`controller.enrolment.records`).
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from overlayd.model.node import NodeRecord, Revocation, SignedRecord, SignedRevocation

Authentic: TypeAlias = Callable[[bytes, bytes], bool]
"""Tells whether a signature (second) over a body (first) is the signer's."""

_T = TypeVar("_T")
_RECORD = msgspec.json.Decoder(NodeRecord)
_REVOCATION = msgspec.json.Decoder(Revocation)


class BadRecord(ValueError):
    """A record or revocation is not what the network's signer signed; it was not used."""


def signed_by(signer: str) -> Authentic:
    """Return the check against ``signer``, an Ed25519 public key in hex (32 bytes).

    Raises :class:`ValueError` for any other text.
    """
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer))

    def authentic(body: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, body)
        except InvalidSignature:
            return False
        return True

    return authentic


def read_record(signed: SignedRecord, authentic: Authentic) -> NodeRecord:
    """Return the record inside. Raises :class:`BadRecord`."""
    record = _read(signed.record, signed.signature, authentic, _RECORD, "node record")
    if not 1 <= record.id <= 0xFFFF:
        raise BadRecord(f"a signed node record has the id {record.id}; ids are 1 to 65535")
    return record


def read_revocation(signed: SignedRevocation, authentic: Authentic) -> Revocation:
    """Return the revocation inside. Raises :class:`BadRecord`."""
    revocation = _read(signed.revocation, signed.signature, authentic, _REVOCATION, "revocation")
    if revocation.epoch < 1:
        raise BadRecord(f"a signed revocation has the epoch {revocation.epoch}; they count from 1")
    return revocation


def _read(
    body: bytes, signature: bytes, authentic: Authentic, decoder: msgspec.json.Decoder[_T], what: str
) -> _T:
    if not authentic(body, signature):
        raise BadRecord(f"a {what} was not signed by this network's signer")
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise BadRecord(f"a signed {what} cannot be read: {error}") from error
