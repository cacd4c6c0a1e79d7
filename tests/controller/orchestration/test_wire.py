"""Objects that come as protocol buffers, as current kubectl writes namespaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.orchestration.objects.problems import Problem
from controller.orchestration.objects.wire import decode


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def sent(kind: bytes, message: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, b"v1") + field(2, kind)) + field(2, message) + field(3, b"")


def test_a_namespace_is_read() -> None:
    label = field(11, field(1, b"team") + field(2, b"a"))
    meta = field(1, field(1, b"shop") + field(2, b"") + field(8, b"") + label)
    assert decode(sent(b"Namespace", meta + field(2, b"") + field(3, b""))) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"team": "a"}},
    }


def test_numbers_and_times_are_read() -> None:
    time = bytes([1 << 3, 0x80, 0x80, 0x80, 0x80, 0x06])
    event = decode(sent(b"Event", field(7, time) + bytes([8 << 3, 3])))
    assert (event["count"], event["lastTimestamp"]) == (3, "2021-01-14T08:25:36Z")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"k8s\x00\xff", sent(b"Pod", b""), sent(b"Namespace", b"\x0a\x7f")]
)
def test_what_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        decode(body)
    assert refused.value.code == 400


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    for kind in (b"Namespace", b"Event", b"DeleteOptions"):
        try:
            assert decode(sent(kind, body[:50]))["apiVersion"] == "v1"
        except Problem as refused:
            assert refused.code == 400
