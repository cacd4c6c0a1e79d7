"""What is seen of an app: its status, told anew only when it says something new. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.orchestration.control.apps import SELECTOR, App, RolloutStatus, as_json
from controller.orchestration.control.chosen import Chosen
from controller.orchestration.control.instances import Instance
from controller.orchestration.control.replacing import Slot
from controller.orchestration.control.revisions import Revisions, timestamp
from controller.orchestration.control.rollout import READY_WITHIN_S, Rollout
from controller.orchestration.objects.schema import Object

CLOSE = 0.2
"""An expected round trip is told anew once it differs by so much."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a decision found. ``problem`` with making pods; empty for none. ``settled``: nothing is to be
    done.
    """

    instances: Sequence[Instance]
    slots: Sequence[Slot]
    rollout: Rollout
    revisions: Revisions
    chosen: Chosen | None
    problem: str
    asleep: bool
    settled: bool


def status_of(app: App, found: Findings, now_s: float) -> Object | None:
    """Return the status of ``app``; None where it says what it said before."""
    before: Mapping[str, Any] = app.raw.get("status") or {}
    there = [one for one in found.instances if not one.leaving]
    expected = {one.pod: one.expected_ms for one in app.status.instances}
    rollout = found.rollout
    made: Object = {
        "observedGeneration": app.metadata.generation,
        "conditions": _conditions(app, found, there, now_s),
        "replicas": len(there),
        "readyReplicas": sum(one.serving for one in there),
        "updatedReplicas": sum(one.revision == found.revisions.wanted for one in there),
        "selector": SELECTOR.format(app.metadata.name),
        "revision": found.revisions.wanted,
        "history": as_json(found.revisions.past),
        "rollout": as_json(
            RolloutStatus(
                revision=rollout.revision,
                stable=found.revisions.stable,
                phase=rollout.phase,
                step=rollout.step,
                weight=rollout.weight,
                since=timestamp(rollout.since_s),
                message=rollout.message,
            )
        ),
        "instances": [
            _instance(one, expected.get(one.name), found.chosen)
            for one in sorted(there, key=lambda one: one.name)
        ],
        "nodes": ",".join(sorted({one.node for one in there})),
    }
    made = {key: value for key, value in made.items() if value not in ("", [])}
    return None if _said(made) == _said(before) else made


def _said(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a status without what changes all the time."""
    steady = [
        {**one, "message": ""} if one["type"] == "WithinBounds" else one
        for one in status.get("conditions", ())
    ]
    return {**status, "conditions": steady}


def _instance(one: Instance, before_ms: float | None, chosen: Chosen | None) -> Object:
    made: Object = {"pod": one.name, "node": one.node, "ready": one.serving, "revision": one.revision}
    now_ms = chosen.ms.get(one.node) if chosen is not None else before_ms
    if now_ms is None:
        return made
    same = before_ms is not None and abs(now_ms - before_ms) <= max(1.0, CLOSE * before_ms)
    return {**made, "expectedMs": before_ms if same else round(now_ms, 1)}


def _conditions(app: App, found: Findings, there: Sequence[Instance], now_s: float) -> list[Object]:
    before = {one.type: one for one in app.status.conditions}
    made: list[Object] = []
    for kind, (status, reason, message) in (
        ("Available", _available(app, found, there)),
        ("Placed", _placed(app, found)),
        ("Progressing", _progressing(app, found, there, now_s)),
        ("WithinBounds", _within(found)),
    ):
        old = before.get(kind)
        since = old.last_transition_time if old is not None and old.status == status else timestamp(now_s)
        made.append(
            {
                "type": kind,
                "status": status,
                "observedGeneration": app.metadata.generation,
                "lastTransitionTime": since,
                "reason": reason,
                "message": message,
            }
        )
    return made


def _available(app: App, found: Findings, there: Sequence[Instance]) -> tuple[str, str, str]:
    serving = sum(one.serving for one in there)
    said = f"{serving} of {max(len({*found.slots}), app.spec.least)} serve"
    if serving >= app.spec.least:
        return "True", "EnoughServe" if serving else "ScaledToZero", said
    return "False", "TooFewServe", said


def _placed(app: App, found: Findings) -> tuple[str, str, str]:
    chosen = found.chosen
    if found.asleep:
        return "True", "ScaledToZero", "none runs until somebody asks for it"
    if found.problem:
        return "False", "PortTaken", found.problem
    if chosen is None:
        return "Unknown", "Deciding", "its place is being looked for"
    if not chosen.nodes:
        return "False", "NoPlace", chosen.problem or "no node takes it"
    if len(chosen.nodes) < app.spec.least:
        return "False", "TooFewPlaces", chosen.problem
    return "True", "Placed", "on " + ", ".join(sorted({*chosen.nodes}))


def _progressing(app: App, found: Findings, there: Sequence[Instance], now_s: float) -> tuple[str, str, str]:
    rollout = found.rollout
    if app.spec.paused:
        return "False", "Paused", "nothing is changed while it is paused"
    if rollout.phase == "Failed":
        return "False", "RolloutFailed", f"revision {rollout.revision} was taken back: {rollout.message}"
    if rollout.phase == "Progressing" and not found.asleep:
        slow = [one.name for one in there if one.revision == rollout.revision and not one.serving]
        if slow and rollout.weight >= 100 and now_s - rollout.since_s > READY_WITHIN_S:
            return "False", "NotReady", f"not ready within {READY_WITHIN_S:.0f} s: {', '.join(sorted(slow))}"
        part = f"; {rollout.weight} % of the users get it" if rollout.weight < 100 else ""
        return "True", "RollingOut", f"revision {rollout.revision} comes{part}"
    if not found.settled or any(not one.serving for one in there):
        return "True", "Replacing", "instances are being made or replaced"
    return "False", "Complete", f"revision {found.revisions.stable or rollout.revision} is in place"


def _within(found: Findings) -> tuple[str, str, str]:
    chosen = found.chosen
    if chosen is None or (chosen.within is None and not chosen.nodes):
        return "Unknown", "Deciding", "nothing can be said yet"
    if chosen.within is None:
        return "True", "NoBounds", "no bounds were set"
    if chosen.within:
        return "True", "Kept", chosen.said
    return "False", "Missed", chosen.said or chosen.problem
