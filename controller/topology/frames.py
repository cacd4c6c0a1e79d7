"""All links at one moment, as history keeps them: eight bits a figure, differences deflated. Pure.

A thousand nodes have a million links. Of each a frame holds nine codes (`overlayd.protocol.scales`), as its
sender reported them; what a link was is read by comparing both ends (:meth:`LinkFrame.rtt_ms` and others).
A packed frame is complete, or the difference to the one before it; twenty frames make one of the next
coarser level (:func:`roll_up`). The store of packed frames is `controller.server.archive`.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from controller.topology import reports
from controller.topology.quantise import F32, Codes, Rows, decode, encode
from overlayd.model.ids import NodeId
from overlayd.protocol.scales import (
    COARSE_DELAY_MS,
    COARSE_RATE_BPS,
    COARSE_RATIO,
    COARSE_SPREAD_MS,
    NOTHING,
    UNKNOWN,
    Scale,
)

RTT_MIN, RTT_Q50, RTT_Q90, JITTER, LOSS_OUT, LOSS_IN, RESIDUAL_IN, CAPACITY, LOAD = range(9)
"""Rows of :attr:`LinkFrame.codes`. Out is towards the peer, in from it."""

SCALES: Final[tuple[Scale, ...]] = (
    COARSE_DELAY_MS, COARSE_DELAY_MS, COARSE_DELAY_MS, COARSE_SPREAD_MS,
    COARSE_RATIO, COARSE_RATIO, COARSE_RATIO, COARSE_RATE_BPS, COARSE_RATE_BPS,
)  # fmt: skip
FIGURES = len(SCALES)

_FIRST_CHOICE = (
    reports.RTT_MIN, reports.RTT_Q50, reports.RTT_Q90, reports.JITTER, reports.LOSS_OUT, reports.LOSS_IN,
    reports.RESIDUAL_IN, reports.CAPACITY, reports.LOAD,
)  # fmt: skip
_ROUND_TRIPS = slice(RTT_MIN, RTT_Q90 + 1)
"""For these the mean stands, where an older agent does not tell them."""
_ROWS = Rows(SCALES)

_ROWS_AT_ONCE = 64


class BadFrame(ValueError):
    """The blob is no frame of ours, or not one that follows the base it was given."""


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """``codes`` [figure, reporter, peer] in the order of ``ids``; `scales.UNKNOWN` without a fresh sample."""

    ids: tuple[NodeId, ...]
    codes: Codes

    def rtt_ms(self) -> F32:
        """Return the usual RTT [from, to], the larger of both ends'; NaN where neither knows."""
        own = self.figure(RTT_Q50)
        return np.fmax(own, own.T)

    def loss(self) -> F32:
        """Return the loss of the direction [from, to], 0..1, the larger of what both ends counted."""
        return np.fmax(self.figure(LOSS_OUT), self.figure(LOSS_IN).T)

    def residual(self) -> F32:
        """Return the loss after repair of the direction [from, to], 0..1, as its receiver found it."""
        return self.figure(RESIDUAL_IN).T

    def figure(self, number: int) -> F32:
        """Return one figure [reporter, peer] as it was reported."""
        return decode(self.codes[number], SCALES[number])

    def of(self, ids: Sequence[NodeId]) -> "LinkFrame":
        """Return the frame of these nodes; what it does not hold is unknown."""
        if tuple(ids) == self.ids:
            return self
        codes = np.full((FIGURES, len(ids), len(ids)), UNKNOWN, np.uint8)
        place = {node: index for index, node in enumerate(self.ids)}
        pairs = [(index, place[node]) for index, node in enumerate(ids) if node in place]
        if pairs:
            here, there = np.array(pairs, np.intp).T
            codes[:, here[:, None], here] = self.codes[:, there[:, None], there]
        return LinkFrame(tuple(ids), codes)


def encode_figures(figures: F32, before: Codes) -> Codes:
    """Return the codes [figure, peer] of a report's figures, near what they were ``before``."""
    values: F32 = figures[list(_FIRST_CHOICE)]
    round_trips = values[_ROUND_TRIPS]
    np.copyto(round_trips, figures[reports.RTT_MEAN], where=np.isnan(round_trips))
    return encode(values, _ROWS, before)


class _Packed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """``ids`` empty: those of the base, to which ``body`` is the difference."""

    ids: list[int]
    figures: int
    body: bytes


def pack_frame(frame: LinkFrame, base: LinkFrame | None = None) -> bytes:
    """Return ``frame`` as a blob; with a ``base`` of the same nodes as the difference to it."""
    if base is not None and base.ids == frame.ids:
        ids, codes = [], frame.codes - base.codes  # modulo 256
    else:
        ids, codes = [int(node) for node in frame.ids], frame.codes
    # Runs of what did not change are all there is to find: looking for more takes longer and finds less.
    deflater = zlib.compressobj(1, strategy=zlib.Z_RLE)
    body = deflater.compress(codes.tobytes()) + deflater.flush()
    return msgspec.msgpack.encode(_Packed(ids, FIGURES, body))


def unpack_frame(blob: bytes, base: LinkFrame | None = None) -> LinkFrame:
    """Return the frame in ``blob``; ``base`` is the one before it, if it needs one. Raises
    :class:`BadFrame`.
    """
    try:
        packed = msgspec.msgpack.decode(blob, type=_Packed)
        ids = tuple(NodeId(node) for node in packed.ids)
        if not ids and base is not None:
            ids = base.ids
        n = len(ids)
        codes = np.frombuffer(zlib.decompress(packed.body), np.uint8).reshape(packed.figures, n, n)
        if packed.figures != FIGURES:
            raise BadFrame(f"{packed.figures} figures, not {FIGURES}")
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise BadFrame(f"not a link frame: {error}") from error
    if packed.ids or base is None:
        return LinkFrame(ids, codes)
    return LinkFrame(ids, codes + base.codes)


def roll_up(frames: Sequence[LinkFrame]) -> LinkFrame:
    """Return one frame for all: the least of the least delays, medians of usual ones, the nine-in-ten of the
    high ones, means of losses and load, each over the frames that know. Nodes are those of the last one.
    """
    ids = frames[-1].ids
    stack = [frame.of(ids).codes for frame in frames]
    codes = np.empty_like(stack[0])
    for number, scale in enumerate(SCALES):
        for row in range(0, len(ids), _ROWS_AT_ONCE):
            rows = slice(row, row + _ROWS_AT_ONCE)
            part = np.stack([one[number, rows] for one in stack])
            codes[number, rows] = _MADE_OF[number](part, scale)
    return LinkFrame(ids, codes)


def _mean(codes: Codes, scale: Scale) -> Codes:
    values = decode(codes, scale)
    known = codes != UNKNOWN
    number = known.sum(axis=0)
    mean = np.where(known, values, np.float32(0.0)).sum(axis=0) / np.maximum(number, 1).astype(np.float32)
    return encode(np.where(number > 0, mean, np.float32(np.nan)), scale)


def _quantile(q: float, codes: Codes) -> Codes:
    """The scales are monotone: quantiles of codes are codes of quantiles."""
    ordered = np.sort(codes, axis=0)
    unknown = (codes == UNKNOWN).sum(axis=0)
    number = len(codes) - unknown
    place = np.clip(unknown + np.ceil(q * number).astype(np.intp) - 1, 0, len(codes) - 1)
    place = np.where(number > 0, np.maximum(place, unknown), 0)
    return np.take_along_axis(ordered, place[None], axis=0)[0]


def _least(codes: Codes, _: Scale) -> Codes:
    return _quantile(0.0, codes)


def _median(codes: Codes, _: Scale) -> Codes:
    return _quantile(0.5, codes)


def _high(codes: Codes, _: Scale) -> Codes:
    return _quantile(0.9, codes)


_MADE_OF = {
    RTT_MIN: _least, RTT_Q50: _median, RTT_Q90: _high, JITTER: _median, LOSS_OUT: _mean, LOSS_IN: _mean,
    RESIDUAL_IN: _mean, CAPACITY: _median, LOAD: _mean,
}  # fmt: skip

assert NOTHING == UNKNOWN + 1  # what is nothing sorts above what is unknown
