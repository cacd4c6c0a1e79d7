"""Routes with the reasons they were chosen for."""

from enum import StrEnum

import msgspec

from overlayd.model.ids import ClassId, NodeId, Path


class Verdict(StrEnum):
    """What became of a candidate."""

    PRIMARY = "primary"
    BACKUP = "backup"
    REJECTED = "rejected"


class Candidate(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A path that was weighed. RTTs in milliseconds, losses 0..1 (before repair), None: not measured.

    ``cost`` is in the objective's own unit (latency: ms); smaller is better. ``reason`` is one sentence for
    a person.
    """

    path: Path
    verdict: Verdict
    reason: str
    cost: float | None = None
    forecast_rtt_ms: float | None = None
    measured_rtt_ms: float | None = None
    forecast_loss_ratio: float | None = None
    measured_loss_ratio: float | None = None


class Route(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Primary and back-ups to one destination for one class, best first, with what was weighed.

    ``decided_at`` is Unix seconds by the decider's clock; ``decider`` is ``"controller"`` or ``"agent"``.
    """

    destination: NodeId
    class_id: ClassId
    paths: tuple[Path, ...]
    candidates: tuple[Candidate, ...]
    reason: str
    decided_at: float
    decider: str = "controller"
