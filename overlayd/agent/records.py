"""Signed node records: what the network's signer vouches for, and how it is checked. Pure.

Expiry is not enforced here: a host whose clock jumps by years must keep its mesh, and a node that is no
longer a member is removed by its controller. The view warns of what is about to expire.
"""

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from overlayd.agent.mesh import BadRecord, Verify
from overlayd.model.node import NodeRecord, SignedRecord


def verifier(signer: str) -> Verify:
    """Return the check against ``signer``, an Ed25519 public key in hex (32 bytes).

    Raises :class:`ValueError` for any other text.
    """
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer))
    decoder = msgspec.json.Decoder(NodeRecord)

    def verify(signed: SignedRecord) -> NodeRecord:
        try:
            key.verify(signed.signature, signed.record)
        except InvalidSignature as error:
            raise BadRecord("a node record was not signed by this network's signer") from error
        try:
            record = decoder.decode(signed.record)
        except msgspec.DecodeError as error:
            raise BadRecord(f"a signed node record cannot be read: {error}") from error
        if not 1 <= record.id <= 0xFFFF:
            raise BadRecord(f"a signed node record has the id {record.id}; ids are 1 to 65535")
        return record

    return verify
