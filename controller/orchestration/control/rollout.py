"""How a new revision comes to run: at once one after another, or as a canary by steps that are watched. Pure.

While a canary is watched the old revision stays whole, and the new one stands beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from controller.orchestration.control.instances import Instance
from controller.orchestration.control.replacing import Slot

ALL = 100
"""Percent."""
READY_WITHIN_S = 600.0
"""So long new instances may take to become ready; then their revision does not come."""

Phase: TypeAlias = Literal["Progressing", "Failed", "Done"]


@dataclass(frozen=True, slots=True)
class Course:
    """How revisions are replaced. ``steps`` are percentages of a canary, each watched for ``analysis_s``;
    none: rolling.
    """

    steps: tuple[int, ...] = ()
    analysis_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far ``revision`` has come: at ``step`` since ``since_s`` (Unix seconds), with ``weight`` percent of
    the users.
    """

    revision: str
    phase: Phase = "Progressing"
    step: int = 0
    weight: int = ALL
    since_s: float = 0.0
    message: str = ""


def advance(
    before: Rollout | None,
    stable: str,
    wanted: str,
    course: Course,
    instances: Sequence[Instance],
    now_s: float,
    worse: str = "",
) -> Rollout:
    """Return how far ``wanted`` has come now. ``stable`` is the revision that came before, empty for none.
    ``worse``: why users fare worse with ``wanted``, if they do.
    """
    if stable in ("", wanted):
        same = before is not None and before.revision == wanted
        return before if same and before is not None else _begun(wanted, Course(), now_s)
    if before is None or before.revision != wanted:
        return _begun(wanted, course, now_s)
    if before.phase != "Progressing" or before.weight >= ALL:
        return before
    if worse:
        return replace(before, phase="Failed", message=worse)
    return _watched(before, course, [one for one in instances if _is_new(one, wanted)], now_s)


def _begun(revision: str, course: Course, now_s: float) -> Rollout:
    return Rollout(revision, weight=course.steps[0] if course.steps else ALL, since_s=now_s)


def _is_new(one: Instance, revision: str) -> bool:
    return one.revision == revision and not one.leaving


def _watched(before: Rollout, course: Course, canaries: list[Instance], now_s: float) -> Rollout:
    for one in canaries:
        if one.restarts:
            return replace(
                before, phase="Failed", message=f"{one.name} was started {one.restarts} times again"
            )
    ready_s = max((one.since_s for one in canaries), default=now_s)
    if not canaries or not all(one.serving for one in canaries):
        if now_s - before.since_s < READY_WITHIN_S + course.analysis_s:
            return before
        slow = ", ".join(one.name for one in canaries if not one.serving) or "no instance"
        return replace(before, phase="Failed", message=f"{slow}: not ready within {READY_WITHIN_S:.0f} s")
    if now_s - max(ready_s, before.since_s) < course.analysis_s:
        return before
    step = before.step + 1
    weight = course.steps[step] if step < len(course.steps) else ALL
    return replace(before, step=step, weight=weight, since_s=now_s)


def due_s(rollout: Rollout, course: Course, instances: Sequence[Instance], now_s: float) -> float | None:
    """Return in how many seconds a canary is to be looked at again; None: whenever something happens."""
    if rollout.phase != "Progressing" or rollout.weight >= ALL:
        return None
    since_s = max([rollout.since_s, *(o.since_s for o in instances if _is_new(o, rollout.revision))])
    return max(0.5, since_s + course.analysis_s - now_s)


def slots(rollout: Rollout, stable: str, nodes: Sequence[str], beside: bool) -> list[Slot]:
    """Return what is to run where. ``beside``: two revisions may stand on one node, and more than wanted."""
    if rollout.phase == "Failed":
        return [Slot(node, stable) for node in nodes]
    if rollout.weight >= ALL or not stable:
        return [Slot(node, rollout.revision) for node in nodes]
    few = max(1, math.ceil(len(nodes) * rollout.weight / ALL)) if nodes else 0
    if beside:
        return [
            *(Slot(node, stable) for node in nodes),
            *(Slot(node, rollout.revision) for node in nodes[:few]),
        ]
    few = min(few, len(nodes) - 1) or len(nodes)
    return [Slot(node, rollout.revision if place < few else stable) for place, node in enumerate(nodes)]


def finished(rollout: Rollout, wanted: Sequence[Slot], instances: Sequence[Instance]) -> bool:
    """Tell whether the revision has come: every slot is filled by an instance of it that serves, and no other
    revision serves.
    """
    if rollout.phase != "Progressing" or rollout.weight < ALL:
        return False
    serving = [one for one in instances if one.serving]
    full = len(serving) >= len(wanted) and all(one.revision == rollout.revision for one in serving)
    return bool(wanted) and full


def shares(rollout: Rollout | None, stable: str) -> dict[str, float]:
    """Return which part of the users each revision gets while a canary is watched; empty: no such parts."""
    if rollout is None or rollout.phase != "Progressing" or rollout.weight >= ALL or not stable:
        return {}
    return {rollout.revision: rollout.weight / ALL, stable: 1.0 - rollout.weight / ALL}
