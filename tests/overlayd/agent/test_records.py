"""Only what the network's signer signed is a record."""

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from overlayd.agent.mesh import BadRecord
from overlayd.agent.records import verifier
from overlayd.model.node import SignedRecord
from tests.overlayd.agent.dialogue import BERLIN, record

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFY = verifier(
    KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
)
BODY = msgspec.json.encode(record(BERLIN))
SIGNED = SignedRecord(BODY, KEY.sign(BODY))


def test_a_signed_record_is_read() -> None:
    assert VERIFY(SIGNED) == record(BERLIN)


@given(st.binary(max_size=100), st.binary(min_size=64, max_size=64))
def test_no_other_bytes_are(body: bytes, signature: bytes) -> None:
    with pytest.raises(BadRecord):
        VERIFY(SignedRecord(body, signature))


@given(st.integers(0, len(BODY) * 8 - 1))
def test_one_changed_bit_is_enough(bit: int) -> None:
    changed = bytearray(BODY)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadRecord):
        VERIFY(SignedRecord(bytes(changed), SIGNED.signature))


@pytest.mark.parametrize(
    "body", [b"{}", b"no json", msgspec.json.encode(msgspec.structs.replace(record(BERLIN), id=0))]
)
def test_what_is_signed_but_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(BadRecord):
        VERIFY(SignedRecord(body, KEY.sign(body)))
