"""What one node said of its links, as columns: from either form of telemetry. Pure.

A :class:`Decoder` belongs to one channel and turns `overlayd.protocol.compact` frames into reports without a
step per link; :func:`report_of` does it for the older form, link by link.
"""

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.topology.quantise import F32, decode
from overlayd.protocol.compact import CompactTelemetry
from overlayd.protocol.controller import PathSample, Telemetry
from overlayd.protocol.scales import FINE_DELAY_MS, FINE_RATE_BPS, FINE_RATIO, Scale

RTT_MIN, RTT_MEAN, JITTER, LOSS_OUT, LOSS_IN, DELIVERED, RTT_Q50, RTT_Q90, RESIDUAL_IN, CAPACITY, LOAD = (
    range(11)
)
"""Rows of :attr:`Report.figures`, in the order of `compact.COLUMNS` after the first two."""

_SCALES: Final[tuple[Scale, ...]] = (
    FINE_DELAY_MS, FINE_DELAY_MS, FINE_DELAY_MS, FINE_RATIO, FINE_RATIO, FINE_RATE_BPS,
    FINE_DELAY_MS, FINE_DELAY_MS, FINE_RATIO, FINE_RATE_BPS, FINE_RATE_BPS,
)  # fmt: skip
FIGURES = len(_SCALES)
_COLUMNS = 2 + FIGURES
_MOST_COLUMNS = 64
_NOBODY, _LAST_ID = 0, 0xFFFF
_MOST_SAMPLES = 0xFFFF


@dataclass(frozen=True, slots=True)
class Report:
    """Of each peer (a node id): whether a link is up, how many samples the figures are made of, and
    ``figures`` [figure, peer] in ms, 0..1 or bit/s; NaN where there is none.
    """

    urgent: bool
    frame_seconds: float
    peers: NDArray[np.int64]
    up: NDArray[np.bool_]
    samples: NDArray[np.int64]
    figures: F32
    paths: tuple[PathSample, ...] = ()


class BadReport(ValueError):
    """The bytes are no report."""


class Decoder:
    """One channel's end that listens; knows what was last said of each peer."""

    def __init__(self) -> None:
        self._peers = np.zeros(0, np.uint16)
        self._codes = np.zeros((0, _COLUMNS), np.uint16)

    def decode(self, frame: CompactTelemetry) -> Report:
        """Return what ``frame`` says. Raises :class:`BadReport`; nothing later on the channel can be read
        then.
        """
        if len(frame.peers) % 2:
            raise BadReport("half a node id")
        peers = np.frombuffer(frame.peers, "<u2")
        if len(np.unique(peers)) != len(peers):
            raise BadReport("a peer is reported twice")
        differences = _inflate(frame.columns, len(peers))
        if len(differences) < _COLUMNS:
            raise BadReport(f"{len(differences)} columns; {_COLUMNS} are needed")
        rows = self._rows(peers)
        codes = self._codes[rows] + differences[:_COLUMNS].T  # modulo 2^16, as it was taken
        self._codes[rows] = codes
        figures = np.stack([decode(codes[:, 2 + i], scale) for i, scale in enumerate(_SCALES)])
        return Report(
            frame.urgent,
            frame.frame_seconds,
            peers.astype(np.int64),
            codes[:, 0] != 0,
            codes[:, 1].astype(np.int64),
            figures,
            frame.paths,
        )

    def _rows(self, peers: NDArray[np.uint16]) -> NDArray[np.intp]:
        """Return the rows of ``peers``, after making room for those that are new."""
        new = np.setdiff1d(peers, self._peers)
        if len(new):
            everyone = np.union1d(self._peers, new)
            codes = np.zeros((len(everyone), _COLUMNS), np.uint16)
            codes[np.searchsorted(everyone, self._peers)] = self._codes
            self._peers, self._codes = everyone, codes
        return np.searchsorted(self._peers, peers)


def report_of(telemetry: Telemetry) -> Report:
    """Return the columns of ``telemetry``."""
    rows = [
        (
            link.rtt_min_ms, link.rtt_mean_ms, link.jitter_ms, link.loss_out_ratio, link.loss_in_ratio,
            link.delivered_bps, link.rtt_q50_ms, link.rtt_q90_ms, link.residual_in_ratio, link.capacity_bps,
            link.load_bps,
        )
        for link in telemetry.links
    ]  # fmt: skip
    return Report(
        telemetry.urgent,
        telemetry.frame_seconds,
        np.array([link.peer if 0 < link.peer <= _LAST_ID else _NOBODY for link in telemetry.links], np.int64),
        np.array([link.up for link in telemetry.links], np.bool_),
        np.array([min(max(link.samples, 0), _MOST_SAMPLES) for link in telemetry.links], np.int64),
        np.array(rows, np.float32).reshape(len(rows), FIGURES).T,  # None becomes NaN
        telemetry.paths,
    )


def _inflate(data: bytes, links: int) -> NDArray[np.uint16]:
    """Return [column, link]."""
    inflater = zlib.decompressobj()
    most = 2 * _MOST_COLUMNS * links
    try:
        raw = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise BadReport(f"columns cannot be inflated: {error}") from error
    if len(raw) > most or not inflater.eof:
        raise BadReport("columns are longer than any can be, or cut short")
    if not links:
        return np.zeros((_COLUMNS, 0), np.uint16)
    if len(raw) % (2 * links):
        raise BadReport("columns of unequal length")
    low, high = np.frombuffer(raw, np.uint8).reshape(2, -1, links).astype(np.uint16)
    return np.bitwise_or(low, high * np.uint16(256), dtype=np.uint16)
