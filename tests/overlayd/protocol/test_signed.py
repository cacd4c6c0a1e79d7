"""Only what the network's signer signed is a record, or a revocation."""

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from overlayd.model.node import Revocation, SignedRecord, SignedRevocation
from overlayd.protocol.signed import BadRecord, read_record, read_revocation, signed_by
from tests.overlayd.agent.dialogue import BERLIN, record

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
AUTHENTIC = signed_by(
    KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
)
RECORD = record(BERLIN)
REVOCATION = Revocation(3, BERLIN, RECORD.public_key, 1_700_000_000, "stolen")
BODY = msgspec.json.encode(RECORD)
SIGNED = SignedRecord(BODY, KEY.sign(BODY))


def revocation(body: bytes) -> SignedRevocation:
    return SignedRevocation(body, KEY.sign(body))


def test_what_is_signed_is_read() -> None:
    assert read_record(SIGNED, AUTHENTIC) == RECORD
    assert read_revocation(revocation(msgspec.json.encode(REVOCATION)), AUTHENTIC) == REVOCATION


@given(st.binary(max_size=100), st.binary(min_size=64, max_size=64))
def test_no_other_bytes_are(body: bytes, signature: bytes) -> None:
    with pytest.raises(BadRecord):
        read_record(SignedRecord(body, signature), AUTHENTIC)
    with pytest.raises(BadRecord):
        read_revocation(SignedRevocation(body, signature), AUTHENTIC)


@given(st.integers(0, len(BODY) * 8 - 1))
def test_one_changed_bit_is_enough(bit: int) -> None:
    changed = bytearray(BODY)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadRecord):
        read_record(SignedRecord(bytes(changed), SIGNED.signature), AUTHENTIC)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"no json",
        msgspec.json.encode(msgspec.structs.replace(RECORD, id=0)),
        msgspec.json.encode(REVOCATION),
    ],
)
def test_what_is_signed_but_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(BadRecord):
        read_record(SignedRecord(body, KEY.sign(body)), AUTHENTIC)


@pytest.mark.parametrize(
    "body", [b"{}", BODY, msgspec.json.encode(msgspec.structs.replace(REVOCATION, epoch=0))]
)
def test_what_is_signed_but_no_revocation_is_refused(body: bytes) -> None:
    with pytest.raises(BadRecord):
        read_revocation(revocation(body), AUTHENTIC)


def test_a_revocation_ends_what_was_before_it_by_id_or_key_and_nothing_else() -> None:
    other = {"public_key": "ff" * 32}
    for changes, void in (
        ({}, True),
        ({"epoch": 2}, True),
        ({"epoch": 3}, False),
        ({"id": 9}, True),
        (other, True),
        (other | {"id": 9}, False),
    ):
        assert REVOCATION.voids(msgspec.structs.replace(RECORD, **changes)) is void, changes
