"""Telemetry as differences of log-quantised columns: a thousand links in some kilobytes.

Spoken where both ends offer the subprotocol :data:`SUBPROTOCOL`; an older end gets `controller.Telemetry`.
Columns follow :data:`COLUMNS`, and after them may come more, which a reader that does not know them passes
over. Each is the difference, modulo 2^16, to what this channel last said of the same peer, zero at first:
what did not change deflates to nothing. An encoder therefore belongs to one channel, where nothing is lost
or overtaken. The reader is `controller.topology.reports`. Pure; standard library and msgspec only.
"""

import array
import sys
import zlib
from collections.abc import Callable

import msgspec

from overlayd.model.ids import NodeId
from overlayd.protocol.controller import LinkSample, PathSample, Telemetry
from overlayd.protocol.scales import FINE_DELAY_MS, FINE_RATE_BPS, FINE_RATIO

SUBPROTOCOL = "overlayd.v1.columns"
MAX_LINKS = 0xFFFF

_LEVEL = 1


class CompactTelemetry(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="compact"
):
    """``peers`` are node ids, 16 bits each; ``columns`` deflated: first the low bytes of all columns, then
    the high ones, links side by side. Numbers are little-endian.
    """

    urgent: bool
    frame_seconds: float
    peers: bytes
    columns: bytes
    paths: tuple[PathSample, ...] = ()


def _samples(link: LinkSample) -> int:
    return min(link.samples, 0xFFFF)


COLUMNS: tuple[Callable[[LinkSample], int], ...] = (
    lambda link: int(link.up),
    _samples,
    lambda link: FINE_DELAY_MS.code(link.rtt_min_ms),
    lambda link: FINE_DELAY_MS.code(link.rtt_mean_ms),
    lambda link: FINE_DELAY_MS.code(link.jitter_ms),
    lambda link: FINE_RATIO.code(link.loss_out_ratio),
    lambda link: FINE_RATIO.code(link.loss_in_ratio),
    lambda link: FINE_RATE_BPS.code(link.delivered_bps),
    lambda link: FINE_DELAY_MS.code(link.rtt_q50_ms),
    lambda link: FINE_DELAY_MS.code(link.rtt_q90_ms),
    lambda link: FINE_RATIO.code(link.residual_in_ratio),
    lambda link: FINE_RATE_BPS.code(link.capacity_bps),
    lambda link: FINE_RATE_BPS.code(link.load_bps),
)
"""The code of each column; new ones are added at the end, and none is ever removed."""


class Encoder:
    """One channel's end that speaks."""

    def __init__(self) -> None:
        self._last: dict[NodeId, list[int]] = {}

    def encode(self, telemetry: Telemetry) -> CompactTelemetry:
        """Return ``telemetry`` as differences to what was encoded before."""
        differences: list[list[int]] = []
        for link in telemetry.links[:MAX_LINKS]:
            codes = [code(link) for code in COLUMNS]
            before = self._last.get(link.peer)
            self._last[link.peer] = codes
            if before is not None:
                codes = [(a - b) & 0xFFFF for a, b in zip(codes, before, strict=True)]
            differences.append(codes)
        columns = array.array("H")
        for column in zip(*differences, strict=True):
            columns.extend(column)
        raw = _little_endian(columns)
        return CompactTelemetry(
            telemetry.urgent,
            telemetry.frame_seconds,
            _little_endian(array.array("H", [link.peer for link in telemetry.links[:MAX_LINKS]])),
            zlib.compress(raw[::2] + raw[1::2], _LEVEL),
            telemetry.paths,
        )


def _little_endian(numbers: "array.array[int]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
