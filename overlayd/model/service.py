"""Classes of service: what kind of traffic wants what of a path."""

from enum import StrEnum

import msgspec

from overlayd.model.repair import MODERATE, STRONG, THIN, Row


class Objective(StrEnum):
    """What a path is chosen for; ``weighted`` for several of the others at once, as an operator weighs
    them.
    """

    LATENCY = "latency"
    RELIABILITY = "reliability"
    COST = "cost"
    JITTER = "jitter"
    THROUGHPUT = "throughput"
    WEIGHTED = "weighted"


class RepairRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Up to ``loss_ratio`` send ``repair_ratio`` repair symbols per source symbol.

    It is of the part of the table for links that have time for ``rounds`` of sending a packet within the
    deadline, and flows that fill a ``window`` of as many packets; the engine takes the largest part that
    the link reaches. ``again`` are the coded symbols per packet that is sent again: where no further round
    fits, where one more does, and so on; the last entry holds beyond. Rows ascend in rounds, window and
    loss.
    """

    loss_ratio: float
    repair_ratio: float
    rounds: int = 1
    window: int = 1
    again: tuple[float, ...] = ()


class Bound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outside of this a path is bad for the class, and the agent leaves it without asking. None: no bound.

    ``rtt_ms`` is milliseconds; ``rtt_factor`` times the forecast the route was chosen with; ``loss_ratio``
    0..1 after repair; ``link_loss_ratio`` 0..1 before repair on any hop.
    """

    rtt_ms: float | None = None
    rtt_factor: float | None = 2.0
    loss_ratio: float | None = 0.02
    link_loss_ratio: float | None = 0.05


class ServiceClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class. ``deadline_ms`` is the delay that repair may add; ``repair_cap_ratio`` bounds repair
    symbols per source symbol; with ``disjoint`` packets take a node-disjoint path too while the one in use is
    sick. ``in_order``: the egress puts packets of TCP and QUIC that were repaired late back in their place.

    ``dscp`` are the code points that select the class.
    """

    name: str
    objective: Objective
    bound: Bound = Bound()
    deadline_ms: int | None = 100
    retransmit: bool = True
    repair: tuple[RepairRow, ...] = ()
    repair_cap_ratio: float = 0.2
    disjoint: bool = False
    in_order: bool = False
    dscp: tuple[int, ...] = ()


def _rows(table: tuple[Row, ...]) -> tuple[RepairRow, ...]:
    return tuple(
        RepairRow(loss, ratio, rounds, window, again) for rounds, window, loss, ratio, again in table
    )


def _early(rows: tuple[RepairRow, ...]) -> tuple[RepairRow, ...]:
    """For a class in order, where each missing packet holds back what is behind it: enough symbols for most
    to be restored without a round trip.
    """
    return tuple(
        msgspec.structs.replace(row, repair_ratio=max(row.repair_ratio, min(2 * row.loss_ratio, 0.085)))
        for row in rows
    )


DEFAULT_CLASSES: tuple[ServiceClass, ...] = (
    ServiceClass(
        name="interactive",
        objective=Objective.LATENCY,
        deadline_ms=100,
        repair=_rows(MODERATE),
        dscp=(18, 20, 22, 26),
    ),
    ServiceClass(
        name="realtime",
        objective=Objective.JITTER,
        bound=Bound(rtt_factor=1.5, loss_ratio=0.01, link_loss_ratio=0.03),
        deadline_ms=60,
        repair=_rows(THIN),
        repair_cap_ratio=1.15,
        dscp=(34, 36, 38, 40, 46),
    ),
    ServiceClass(
        name="bulk",
        objective=Objective.COST,
        bound=Bound(rtt_factor=4.0, loss_ratio=0.05, link_loss_ratio=0.1),
        deadline_ms=600,
        repair=_early(tuple(row for row in _rows(MODERATE) if row.rounds > 2)),
        in_order=True,
        dscp=(8, 10),
    ),
    ServiceClass(
        name="reliable",
        objective=Objective.RELIABILITY,
        deadline_ms=200,
        repair=_rows(STRONG),
        repair_cap_ratio=1.05,
        disjoint=True,
        dscp=(24, 48),
    ),
)
"""Class 0 is what unmarked traffic gets. A class's index is its number on the wire."""
