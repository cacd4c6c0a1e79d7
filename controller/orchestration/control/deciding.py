"""What is done about one app: its pods, its rollout, its end. Pure: objects, placement and the time in, verbs
out.

Everything that a decision rests on is in objects, so that a controller that begins anew goes on where the
last one was.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.orchestration.control import rollout as rollouts
from controller.orchestration.control.apps import App
from controller.orchestration.control.chosen import Chosen
from controller.orchestration.control.instances import DRAINING, Instance, unix_s
from controller.orchestration.control.intents import (
    About,
    Change,
    GiveUp,
    Intent,
    Make,
    Remove,
    Replace,
    Report,
    Say,
)
from controller.orchestration.control.making import owner_of, pod_of
from controller.orchestration.control.outcomes import Tallies
from controller.orchestration.control.ports import PortTaken
from controller.orchestration.control.replacing import Limits, Slot, Steps, step
from controller.orchestration.control.revisions import Revisions, revisions_of, rolled_back, timestamp
from controller.orchestration.control.rollout import Rollout
from controller.orchestration.control.statuses import Findings, status_of
from controller.orchestration.control.telling import told_of_pods, told_of_rollout
from controller.orchestration.objects.schema import Object

APP, POD = "App", "Pod"
FINALIZER = "overlayd.io/apps"
"""Of an app: taken off once its pods are gone."""
DRAIN_S = 10.0
"""From when an instance gets nothing new until it is asked to end."""


@dataclass(frozen=True, slots=True)
class Decided:
    """``due_s``: to be decided again in so many seconds, if nothing has changed before."""

    intents: tuple[Intent, ...]
    due_s: float | None = None


def decide(
    app: App,
    instances: Sequence[Instance],
    chosen: Chosen | None,
    taken: Mapping[str, Mapping[int, str]],
    now_s: float,
    *,
    asleep: bool = False,
    drain_s: float = DRAIN_S,
    tallies: Tallies | None = None,
) -> Decided:
    """Return what to do about ``app``, which has ``instances``.

    ``chosen`` None: placement has not answered yet. ``taken`` [node] are ports and who has them. ``asleep``:
    none is to run, because nobody asks for it. ``tallies``: what users met with its revisions. Times are Unix
    seconds.
    """
    gone = given_up(instances)
    if app.metadata.deletion_timestamp is not None:
        return Decided((*gone, *_end(app, instances)))
    if FINALIZER not in app.metadata.finalizers:
        kept = {"metadata": {"finalizers": [*app.metadata.finalizers, FINALIZER]}}
        return Decided((Change(_app(app), kept),))
    if (back := rolled_back(app)) is not None:
        body, said, found = back
        event = Say(
            _app(app), "Normal" if found else "Warning", "RolledBack" if found else "NoRevision", said
        )
        return Decided((Replace(_app(app), body), event))
    revisions = revisions_of(app, now_s)
    rollout = _rollout(app, revisions, instances, now_s, tallies or Tallies())
    update = app.spec.update
    alone = bool(app.spec.host_ports)
    limits = Limits(update.max_surge, update.max_unavailable, app.single, alone, drain_s)
    slots = _slots(app, instances, rollout, revisions, chosen, limits, asleep)
    steps = Steps() if chosen is None and not asleep else step(slots, instances, limits, now_s)
    made, bodies, problem = _made(app, revisions, steps.create, taken)
    if not app.spec.paused and rollouts.finished(rollout, slots, instances):
        rollout, revisions = replace(rollout, phase="Done"), revisions.settled()
    findings = Findings(instances, slots, rollout, revisions, chosen, problem, asleep, steps == Steps())
    intents: list[Intent] = [
        *gone,
        *_adopted(app, instances),
        *(Make(POD, body) for body in bodies),
        *_carried(steps, now_s),
    ]
    intents += told_of_pods(_app(app), made, instances, slots, chosen)
    intents += told_of_rollout(_app(app), _before(app), rollout, revisions)
    if (status := status_of(app, findings, now_s)) is not None:
        intents.append(Report(_app(app), status))
    due = (steps.due_s, rollouts.due_s(rollout, app.course, instances, now_s))
    return Decided(tuple(intents), min((one for one in due if one is not None), default=None))


def given_up(instances: Iterable[Instance]) -> list[Intent]:
    """Return that pods go which nobody can stop any more, whosever they are."""
    return [GiveUp(_pod(one), one.node, one.lease_s) for one in instances if one.lost]


def _before(app: App) -> Rollout | None:
    """Return how far the app's rollout had come."""
    told = app.status.rollout
    if told is None:
        return None
    return Rollout(told.revision, told.phase, told.step, told.weight, unix_s(told.since), told.message)


def _end(app: App, instances: Sequence[Instance]) -> Iterable[Intent]:
    """An app that is deleted goes after its pods; those that it was made to let go of stay."""
    own = [one for one in instances if one.owner == app.metadata.uid]
    yield from (Remove(_pod(one)) for one in own if not one.leaving)
    if not own and FINALIZER in app.metadata.finalizers:
        left = [one for one in app.metadata.finalizers if one != FINALIZER]
        yield Change(_app(app), {"metadata": {"finalizers": left or None}})


def _adopted(app: App, instances: Iterable[Instance]) -> Iterable[Intent]:
    """Pods of the app's name that belong to nobody, as `kubectl delete --cascade=orphan` leaves them, are its
    own.
    """
    mine = {"metadata": {"ownerReferences": [owner_of(app)]}}
    return [Change(_pod(one), mine) for one in instances if not one.owner and not one.leaving]


def _rollout(
    app: App, revisions: Revisions, instances: Sequence[Instance], now_s: float, tallies: Tallies
) -> Rollout:
    before, course = _before(app), app.course
    if app.spec.paused and before is not None:
        return before
    stable, wanted = revisions.stable, revisions.wanted
    worse = tallies.verdict(stable, wanted)
    return rollouts.advance(before, stable, wanted, course, instances, now_s, worse)


def _slots(
    app: App,
    instances: Sequence[Instance],
    rollout: Rollout,
    revisions: Revisions,
    chosen: Chosen | None,
    limits: Limits,
    asleep: bool,
) -> list[Slot]:
    stay = [one for one in instances if not one.leaving and one.draining_s is None]
    if asleep:
        return []
    if app.spec.paused:
        return [Slot(one.node, one.revision) for one in stay]
    nodes = chosen.nodes if chosen is not None else ()
    if not nodes:  # no place is good enough to move to: they stay where they are
        count = Counter((one.node, one.revision) for one in stay)
        most = {node: max(n for (at, _), n in count.items() if at == node) for node, _ in count}
        nodes = tuple(node for node, n in sorted(most.items()) for _ in range(n))
    beside = not limits.single and not limits.alone
    return rollouts.slots(rollout, revisions.stable, nodes, beside)


def _made(
    app: App, revisions: Revisions, create: Iterable[Slot], taken: Mapping[str, Mapping[int, str]]
) -> tuple[list[Slot], list[Object], str]:
    """Return the slots for which there is a pod now, the pods, and why there is none for the others."""
    slots: list[Slot] = []
    bodies: list[Object] = []
    problems: list[str] = []
    ports: dict[str, dict[int, str]] = {}
    for slot in create:
        here = ports.setdefault(slot.node, dict(taken.get(slot.node, {})))
        try:
            body = pod_of(app, revisions.spec(app, slot.revision), slot, here)
        except PortTaken as problem:
            problems.append(str(problem))
            continue
        for container in body["spec"]["containers"]:
            here |= {port["hostPort"]: app.metadata.name for port in container.get("ports", ())}
        slots.append(slot)
        bodies.append(body)
    return slots, bodies, "; ".join(problems)


def _carried(steps: Steps, now_s: float) -> Iterable[Intent]:
    since = {"metadata": {"annotations": {DRAINING: timestamp(now_s)}}}
    yield from (Change(_pod(one), since) for one in steps.drain)
    yield from (Change(_pod(one), {"metadata": {"annotations": {DRAINING: None}}}) for one in steps.restore)
    yield from (Remove(_pod(one)) for one in steps.remove)


def _app(app: App) -> About:
    meta = app.metadata
    return About(APP, meta.namespace, meta.name, meta.uid, meta.resource_version)


def _pod(one: Instance) -> About:
    return About(POD, one.namespace, one.name, one.uid, one.version)
