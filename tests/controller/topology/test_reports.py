"""The compact form of telemetry: near what was said, small, and refused when it cannot be."""

import zlib

import msgspec
import pytest

from controller.topology.reports import BadReport, Decoder, report_of
from overlayd.model.ids import NodeId
from overlayd.protocol.compact import CompactTelemetry, Encoder
from overlayd.protocol.controller import LinkSample, Telemetry


def said(number: int, rtt_ms: float, loss: float = 0.0) -> LinkSample:
    return LinkSample(
        NodeId(number),
        True,
        150,
        rtt_ms * 0.9,
        rtt_ms,
        0.4,
        loss,
        0.0,
        5_000_000,
        rtt_q50_ms=rtt_ms,
        rtt_q90_ms=rtt_ms * 1.1,
        capacity_bps=100_000_000,
        load_bps=4_000_000,
    )


def frame(*links: LinkSample, urgent: bool = False) -> Telemetry:
    return Telemetry(urgent, 15.0, links)


def test_what_is_said_compactly_is_what_was_said() -> None:
    encoder, decoder = Encoder(), Decoder()
    dark = LinkSample(NodeId(9), False, 0, None, None, None, None, None, 0)
    for telemetry in (
        frame(said(3, 20.0), said(700, 81.3, 0.0123), dark),
        frame(said(3, 21.0), urgent=True),
        frame(said(2, 5.0), said(3, 22.0), said(700, 80.0, 1.0)),
        frame(),
    ):
        read, exact = decoder.decode(encoder.encode(telemetry)), report_of(telemetry)
        assert (read.urgent, read.frame_seconds) == (telemetry.urgent, 15.0)
        assert read.peers.tolist() == exact.peers.tolist()
        assert read.up.tolist() == exact.up.tolist() and read.samples.tolist() == exact.samples.tolist()
        assert read.figures == pytest.approx(exact.figures, rel=0.0101, nan_ok=True)


def test_a_quiet_mesh_says_little() -> None:
    encoder, plain = Encoder(), msgspec.msgpack.Encoder()
    links = [said(number, 20.0 + number / 7) for number in range(1, 1000)]
    encoder.encode(frame(*links))
    again = frame(*(said(link.peer, 1.0005 * (20.0 + link.peer / 7)) for link in links))
    assert len(plain.encode(encoder.encode(again))) < len(plain.encode(again)) / 10


def test_columns_of_a_newer_agent_are_passed_over() -> None:
    telemetry = frame(said(3, 20.0))
    compact = Encoder().encode(telemetry)
    raw = zlib.decompress(compact.columns)
    low, high = raw[: len(raw) // 2], raw[len(raw) // 2 :]
    newer = msgspec.structs.replace(compact, columns=zlib.compress(low + b"\x07" + high + b"\x01"))
    assert Decoder().decode(newer).figures == pytest.approx(Decoder().decode(compact).figures, nan_ok=True)


@pytest.mark.parametrize(
    ("peers", "columns"),
    [
        (b"\x01", zlib.compress(b"")),
        (b"\x01\x00\x01\x00", zlib.compress(bytes(4 * 13))),
        (b"\x01\x00", zlib.compress(bytes(2 * 12))),
        (b"\x01\x00", zlib.compress(bytes(2 * 13 + 1))),
        (b"\x01\x00", zlib.compress(bytes(2 * 13))[:-1]),
        (b"\x01\x00", zlib.compress(bytes(10_000_000))),
        (b"\x01\x00", b"nonsense"),
    ],
)
def test_what_cannot_be_a_report_is_refused(peers: bytes, columns: bytes) -> None:
    with pytest.raises(BadReport):
        Decoder().decode(CompactTelemetry(False, 15.0, peers, columns))


def test_ids_that_no_node_has_do_no_harm() -> None:
    strange = LinkSample(NodeId(2**40), True, 2**40, 1.0, 1.0, 1.0, 0.0, 0.0, 0)
    assert report_of(frame(strange)).peers.tolist() == [0]
