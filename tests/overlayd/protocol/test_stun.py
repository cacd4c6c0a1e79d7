"""Questions to a reflector and its answers: what is written is read again, none outgrows its question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlayd.protocol import stun
from overlayd.protocol.stun import Place, Reply, Request

TRANSACTIONS = st.binary(min_size=12, max_size=12)
PLACES = st.tuples(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), st.integers(0, 65535))


@given(TRANSACTIONS, st.booleans(), st.integers(76, 9000))
def test_a_request_is_read_as_it_was_written(transaction: bytes, other_port: bool, size: int) -> None:
    datagram = stun.encode_request(Request(transaction, other_port, size))
    assert len(datagram) == size // 4 * 4
    assert stun.decode_request(datagram) == Request(transaction, other_port, len(datagram))


@given(TRANSACTIONS, PLACES, st.one_of(st.none(), PLACES), st.integers(76, 9000))
def test_a_reply_is_read_as_it_was_written_and_is_as_long_as_its_question(
    transaction: bytes, seen: Place, other: Place | None, size: int
) -> None:
    size -= size % 4
    datagram = stun.encode_reply(Reply(transaction, seen, other), size)
    assert datagram is not None and len(datagram) == size
    assert stun.decode_reply(datagram) == Reply(transaction, seen, other)


@given(PLACES, st.one_of(st.none(), PLACES), st.integers(0, 100))
def test_no_answer_is_longer_than_its_question(seen: Place, other: Place | None, size: int) -> None:
    datagram = stun.encode_reply(Reply(bytes(12), seen, other), size)
    assert datagram is None or len(datagram) <= size


def test_a_question_without_a_size_has_room_for_any_answer() -> None:
    size = len(stun.encode_request(Request(bytes(12), other_port=True)))
    wide = ("2001:db8::1", 7443)
    datagram = stun.encode_reply(Reply(bytes(12), wide, wide), size)
    assert datagram is not None and stun.decode_reply(datagram).other == wide


def test_the_address_is_that_of_rfc_5769() -> None:
    """Its sample answer of IPv4 (2.2): transaction and attribute, without what authenticates it."""
    head = bytes.fromhex("0101000c2112a442b7e7a701bc34d686fa87dfae")
    assert stun.decode_reply(head + bytes.fromhex("002000080001a147e112a643")).seen == ("192.0.2.1", 32853)


@given(st.binary(max_size=200))
def test_what_is_nothing_of_ours_is_passed_over(datagram: bytes) -> None:
    for read in (stun.decode_request, stun.decode_reply):
        with pytest.raises(stun.NotStun):
            read(datagram)


@given(st.binary(max_size=100), st.sampled_from([b"\0\1", b"\1\1"]))
def test_no_body_breaks_the_reader(body: bytes, kind: bytes) -> None:
    datagram = kind + len(body).to_bytes(2, "big") + bytes.fromhex("2112a442") + bytes(12) + body
    for read in (stun.decode_request, stun.decode_reply):
        try:
            read(datagram)
        except stun.NotStun:
            continue
