"""One moment of all links as a compressed blob: what history is kept as. Pure.

Rows per link would take a hundred times the space: a frame is two matrices of half floats, [from, to],
deflated, with the ids of their rows. A half float keeps three digits, which is more than a sample has.
"""

import zlib
from dataclasses import dataclass

import msgspec
import numpy as np

from controller.prediction.forecast import Forecast
from controller.topology.links import F32, Topology
from overlayd.model.ids import NodeId


class _Packed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    ids: list[int]
    rtt_ms: bytes
    loss: bytes


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """RTT in ms and loss 0..1 of each link [from, to] of ``ids``; NaN where there was no fresh sample."""

    ids: tuple[NodeId, ...]
    rtt_ms: F32
    loss: F32


class BadFrame(ValueError):
    """The blob is no frame of ours."""


def pack_frame(topology: Topology, forecast: Forecast) -> bytes:
    """Return the newest samples of all links as a blob."""
    rtt = forecast.measured_rtt_ms.astype("<f2").tobytes()
    loss = forecast.measured_loss.astype("<f2").tobytes()
    packed = _Packed([int(vertex.id) for vertex in topology.vertices], rtt, loss)
    return zlib.compress(msgspec.msgpack.encode(packed), 6)


def unpack_frame(blob: bytes) -> LinkFrame:
    """Return the frame in ``blob``. Raises :class:`BadFrame`."""
    try:
        packed = msgspec.msgpack.decode(zlib.decompress(blob), type=_Packed)
        n = len(packed.ids)
        rtt, loss = (
            np.frombuffer(matrix, "<f2").astype(np.float32).reshape(n, n)
            for matrix in (packed.rtt_ms, packed.loss)
        )
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise BadFrame(f"not a link frame: {error}") from error
    return LinkFrame(tuple(NodeId(node) for node in packed.ids), rtt, loss)
