"""Classes of service: what kind of traffic wants what of a path."""

from enum import StrEnum

import msgspec


class Objective(StrEnum):
    """What a path is chosen for."""

    LATENCY = "latency"
    RELIABILITY = "reliability"
    COST = "cost"
    JITTER = "jitter"


class RepairRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to ``loss_ratio`` send ``repair_ratio`` repair symbols per source symbol."""

    loss_ratio: float
    repair_ratio: float


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
    symbols per source symbol.

    ``dscp`` are the code points that select the class.
    """

    name: str
    objective: Objective
    bound: Bound = Bound()
    deadline_ms: int | None = 100
    retransmit: bool = True
    repair: tuple[RepairRow, ...] = ()
    repair_cap_ratio: float = 0.2
    dscp: tuple[int, ...] = ()


DEFAULT_CLASSES: tuple[ServiceClass, ...] = (
    ServiceClass(
        name="interactive",
        objective=Objective.LATENCY,
        deadline_ms=100,
        repair=(RepairRow(0.001, 0.0), RepairRow(0.02, 0.05), RepairRow(0.1, 0.1), RepairRow(1.0, 0.2)),
        dscp=(18, 20, 22, 26),
    ),
    ServiceClass(
        name="realtime",
        objective=Objective.JITTER,
        bound=Bound(rtt_factor=1.5, loss_ratio=0.01, link_loss_ratio=0.03),
        deadline_ms=60,
        repair=(RepairRow(0.001, 0.0), RepairRow(0.02, 0.2), RepairRow(0.1, 0.6), RepairRow(1.0, 1.0)),
        repair_cap_ratio=1.15,
        dscp=(34, 36, 38, 40, 46),
    ),
    ServiceClass(
        name="bulk",
        objective=Objective.COST,
        bound=Bound(rtt_factor=4.0, loss_ratio=0.05, link_loss_ratio=0.1),
        deadline_ms=600,
        dscp=(8, 10),
    ),
    ServiceClass(
        name="reliable",
        objective=Objective.RELIABILITY,
        deadline_ms=200,
        repair=(RepairRow(0.0005, 0.0), RepairRow(0.02, 0.1), RepairRow(0.1, 0.3), RepairRow(1.0, 0.6)),
        repair_cap_ratio=1.05,
        dscp=(24, 48),
    ),
)
"""Class 0 is what unmarked traffic gets. A class's index is its number on the wire."""
