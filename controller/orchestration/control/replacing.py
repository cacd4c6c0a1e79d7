"""From the instances that there are to those that there should be, without a gap in between. Pure.

Old versions, places that became bad and numbers that changed are all one thing here: *slots* that are wanted,
and instances that fill one or none. A new instance is ready before an old one goes; before one goes it gets
nothing new for a while. What must not run twice goes before another comes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.orchestration.control.instances import Instance


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for an instance of a revision."""

    node: str
    revision: str


@dataclass(frozen=True, slots=True)
class Limits:
    """``surge`` more and ``unavailable`` fewer than wanted may be there meanwhile. ``single``: never two;
    ``alone``: never two on a node. Before an instance that serves goes, it gets nothing new for ``drain_s``.
    """

    surge: int = 1
    unavailable: int = 0
    single: bool = False
    alone: bool = False
    drain_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Steps:
    """What may be done now. ``due_s``: in so many seconds more may be, if nothing else happens before."""

    create: tuple[Slot, ...] = ()
    drain: tuple[Instance, ...] = ()
    restore: tuple[Instance, ...] = ()
    remove: tuple[Instance, ...] = ()
    due_s: float | None = None


def step(slots: Sequence[Slot], instances: Sequence[Instance], limits: Limits, now_s: float) -> Steps:
    """Return what may be done now to come from ``instances`` to ``slots``."""
    there = [one for one in instances if not one.leaving]
    kept, missing, surplus = _match(slots, there)
    # What nobody sees may run still, cannot be told to go, and holds a place until it may be replaced.
    held = [one for one in surplus if not one.seen and not one.replaceable]
    surplus = [one for one in surplus if one.seen]
    missing = missing[: max(0, len(missing) - len(held))]
    create = _creations(missing, instances, there, len(slots), limits)
    leave = _leaving(missing, create, there, surplus, len(slots), limits)
    drained = [one for one in surplus if one.draining_s is not None]
    over = [one for one in drained if now_s - (one.draining_s or 0.0) >= limits.drain_s or not one.ready]
    waits = [limits.drain_s - now_s + (one.draining_s or 0.0) for one in drained if one not in over]
    at_once = [one for one in leave if not one.ready or limits.drain_s <= 0.0]
    drain = [one for one in leave if one not in at_once]
    return Steps(
        create=tuple(create),
        drain=tuple(drain),
        restore=tuple(one for one in kept if one.draining_s is not None and one.seen),
        remove=(*over, *at_once),
        due_s=min([*waits, *(limits.drain_s for _ in drain)], default=None),
    )


def _match(
    slots: Iterable[Slot], there: Iterable[Instance]
) -> tuple[list[Instance], list[Slot], list[Instance]]:
    """Return the instances that fill a slot, the slots that none fills, and the other instances."""
    left = sorted(
        there, key=lambda one: (not one.seen, one.draining_s is not None, not one.ready, one.since_s)
    )
    kept: list[Instance] = []
    missing: list[Slot] = []
    for slot in slots:
        found = next((one for one in left if Slot(one.node, one.revision) == slot), None)
        if found is None:
            missing.append(slot)
        else:
            kept.append(found)
            left.remove(found)
    return kept, missing, left


def _creations(
    missing: list[Slot], every: Sequence[Instance], there: list[Instance], wanted: int, limits: Limits
) -> list[Slot]:
    if limits.single:
        return [] if every else missing[:1]
    counted = sum(1 for one in there if not one.replaceable)
    room = wanted + (limits.surge or (0 if limits.unavailable else 1)) - counted
    taken = {one.node for one in every} if limits.alone else set[str]()
    made: list[Slot] = []
    for slot in missing:
        if len(made) < room and slot.node not in taken:
            made.append(slot)
            if limits.alone:
                taken.add(slot.node)
    return made


def _leaving(
    missing: list[Slot],
    create: list[Slot],
    there: list[Instance],
    surplus: list[Instance],
    wanted: int,
    limits: Limits,
) -> list[Instance]:
    """Return those of ``surplus`` that may begin to go: what does not serve at once, of the others as many as
    are not needed.
    """
    going = [one for one in surplus if one.draining_s is None]
    if limits.single:
        return going
    idle = [one for one in going if not one.ready]
    blocking = {slot.node for slot in missing} if limits.alone else set[str]()
    busy = sorted(
        (one for one in going if one.ready), key=lambda one: (one.node not in blocking, one.since_s)
    )
    spare = sum(one.serving for one in there) - max(0, wanted - limits.unavailable)
    leave = busy[: max(0, spare)]
    if not (create or leave or idle) and len(going) == len(surplus) and all(one.ready for one in there):
        # The only way on: a node's port is free for the new one when the old one has gone.
        leave = [one for one in busy if one.node in blocking][:1]
    return [*idle, *leave]
