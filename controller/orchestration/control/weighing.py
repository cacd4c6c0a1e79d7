"""How much of what is new each instance gets from the users of one place. Pure.

Nearer is better, and about as near is about as good: the part falls by e for each quarter of the best round
trip. Who has less room left gets less. What is too far to be worth a part is a backup for when the near ones
fail. Groups (apps of a route, revisions of a canary) have shares of their own, whatever their distance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overlayd.protocol.steering import MOST_WEIGHT

LEAST_STEP_MS = 5.0
"""Differences of round trips below this hardly count."""
NEAR = 0.25
FAR = 0.02
"""An instance that would get less than this part is a backup."""
UNKNOWN_MS = 10_000.0
STEADY = 0.15
"""A weight that would change by less than this part stays as it is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance as seen from one place. ``ms`` None: nothing is known of the way. ``serving``: it takes
    what is new; ``reserve``: only while no other does. ``room`` from 0 to 1: how much more it can take.
    """

    name: str
    group: str
    ms: float | None
    serving: bool = True
    reserve: bool = False
    room: float = 1.0


@dataclass(frozen=True, slots=True)
class Weight:
    weight: int
    backup: bool = False


def weigh(
    candidates: Sequence[Candidate], shares: Mapping[str, float], before: Mapping[str, Weight]
) -> dict[str, Weight]:
    """Return the weight of each candidate. ``shares`` of groups, any scale; a group that has nobody to serve
    it leaves its share to the others. ``before`` are the weights in force, which stay where little would
    change.
    """
    serving = [one for one in candidates if one.serving and shares.get(one.group, 0.0) > 0.0]
    first = [one for one in serving if not one.reserve] or serving
    parts: dict[str, float] = {}
    for group in sorted({one.group for one in first}):
        parts |= _parts([one for one in first if one.group == group], shares[group])
    most = max(parts.values(), default=0.0)
    made = {one.name: Weight(0) for one in candidates}
    for one in serving:
        part = parts.get(one.name)
        weight = max(1, round(MOST_WEIGHT * part / most)) if part else MOST_WEIGHT
        made[one.name] = Weight(weight, backup=not part)
    same = made.keys() == before.keys() and all(_close(made[name], before[name]) for name in made)
    return dict(before) if same else made


def _parts(group: Sequence[Candidate], share: float) -> dict[str, float]:
    """Return the parts of a group's candidates, ``share`` together; those that are too far are left out."""
    known = [UNKNOWN_MS if one.ms is None else one.ms for one in group]
    best = min(known)
    step_ms = max(LEAST_STEP_MS, NEAR * best)
    raw = [one.room * math.exp(-(ms - best) / step_ms) for one, ms in zip(group, known, strict=True)]
    near = [(one.name, part) for one, part in zip(group, raw, strict=True) if part / sum(raw) >= FAR]
    total = sum(part for _, part in near)
    return {name: share * part / total for name, part in near}


def _close(new: Weight, old: Weight) -> bool:
    if new.backup != old.backup or (new.weight == 0) != (old.weight == 0):
        return False
    return abs(new.weight - old.weight) <= STEADY * max(new.weight, old.weight)
