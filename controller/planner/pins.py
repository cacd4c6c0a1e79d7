"""Paths pinned by hand: in force as long as they carry anything, whatever else would be better. Pure.

A pinned path that is down, or of which nothing fresh is known, is left as any other; it is taken again once
it is healthy and was so for the time that a degraded link is held down. A pin that was just set is taken at
once. Called by `plan`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from controller.planner.search import NONE, Relays
from controller.planner.table import RouteTable
from controller.policy.rules import PinnedPath
from controller.prediction.forecast import Forecast
from controller.topology.links import Bool


class Standing(StrEnum):
    """What becomes of a pin; ``HELD``: until it was healthy for long enough."""

    IN_FORCE = "in force"
    UNUSABLE = "unusable"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pinned path, and how it stands."""

    pin: PinnedPath
    standing: Standing


def put_pins(
    pins: Sequence[PinnedPath], forecast: Forecast, table: RouteTable, before: Relays, dwelling: Bool
) -> Iterator[Pinned]:
    """Return how each pin of a class stands, given the primaries in force."""
    for pin in pins:
        yield Pinned(pin, _standing(pin, forecast, table, before, dwelling))


def _standing(
    pin: PinnedPath, forecast: Forecast, table: RouteTable, before: Relays, dwelling: Bool
) -> Standing:
    at = pin.source, pin.destination
    links = list(zip((pin.source, *pin.relays), (*pin.relays, pin.destination), strict=True))
    in_force = bool((before[at] == padded(pin.relays)).all())
    usable = all(forecast.usable[link] for link in links)
    if in_force:
        silent = any(forecast.unheard[link] for link in links)
        silent &= all(forecast.usable[link] or forecast.unheard[link] for link in links)
        return Standing.IN_FORCE if usable or silent else Standing.UNUSABLE
    if not usable or not forecast.alive[pin.source]:
        return Standing.UNUSABLE
    new = table.changed_ns[(pin.class_id, *at)] < pin.since_ns
    damped = bool(dwelling[at]) or any(forecast.held_ns[link] > 0 for link in links)
    return Standing.IN_FORCE if new or not damped else Standing.HELD


def padded(relays: Sequence[int]) -> Relays:
    """Return relays as a table holds them."""
    return np.array([*relays, NONE, NONE][:2], np.int16)
