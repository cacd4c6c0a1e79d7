"""Between agents, over the overlay: "what does your end of this hop see?", as msgpack datagrams on UDP port
51899 of the overlay address.

Each hop's own agent answers, so `trace` works without a controller. An answer is never much longer than
three questions. RTTs are milliseconds, ratios 0..1, None: not measured or not used in the last minute.
"""

import msgspec

from overlayd.model.ids import NodeId

PORT = 51899
NOBODY = NodeId(0)


class Question(msgspec.Struct, frozen=True, array_like=True, tag="q"):
    """``previous`` and ``next`` are the neighbours on the path, or nobody (0); ``number`` comes back in the
    answer.
    """

    number: int
    previous: NodeId
    next: NodeId
    class_id: int


class Outgoing(msgspec.Struct, frozen=True, array_like=True):
    """Towards the next node: the underlay, and what repair adds. Ratios of repair are per source frame."""

    up: bool
    rtt_ms: float | None = None
    loss_ratio: float | None = None
    repair_ratio: float | None = None
    retransmitted_ratio: float | None = None


class Incoming(msgspec.Struct, frozen=True, array_like=True):
    """From the previous node: what repair brought back, what stayed lost, the mean run of what was missed,
    and quantiles of the delay that repair added.
    """

    recovered_ratio: float | None = None
    lost_ratio: float | None = None
    burst_length: float | None = None
    added_p50_ms: float | None = None
    added_p99_ms: float | None = None


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """``node`` is who answers."""

    number: int
    node: NodeId
    outgoing: Outgoing | None = None
    incoming: Incoming | None = None
