"""Searches that outlast a decision: where few links have other costs than in the last decision, a search is
brought up to date instead of made anew.

That is how it is when a link fails or recovers in a mesh that is quiet otherwise, and when an operator asks
what would happen if one did. A large mesh is never that quiet, and its searches take much memory: so one is
kept only when the last two decisions were alike. Called by `plan`, with what `core.decision` and `whatif`
borrow. Holds state, does no I/O.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.planner.limited import LimitedSearch, Searching
from controller.planner.search import Search
from controller.policy.costs import Costs
from controller.topology.links import F32, Bool

FEW_LINKS = 32
"""So many links' changes take a fraction of what a search takes that is made anew."""
FEW_LIMITS = 8
"""So many pairs' caps for each node: more, and candidates are found anew."""


@dataclass(frozen=True, slots=True)
class _Last:
    """What a class was searched with; the ``search`` itself only if the one before was alike."""

    costs: Costs
    relays: NDArray[np.intp]
    second: int
    search: Search | None


class Searches:
    """One decision's searches, and those that the last one left. Used by one thread at a time."""

    def __init__(self) -> None:
        self._last: dict[int, _Last] = {}

    def search(self, number: int, costs: Costs, relays: NDArray[np.intp], second: int) -> Searching:
        """Return the search that a class needs; its ``number`` stands for it from decision to decision."""
        # Taken out meanwhile: a search that failed half way is not used again.
        last = self._last.pop(number, None)
        if costs.limits:
            return LimitedSearch(costs, relays, second)
        changes = None if last is None else _changes(last, costs, relays, second)
        made = None
        if last is not None and last.search is not None and changes is not None:
            made = last.search.renewed(costs, *changes)
        made = made or Search(costs, relays, second)
        self._last[number] = _Last(costs, relays, second, None if changes is None else made)
        return made


class Kept:
    """Searches for whoever decides next."""

    def __init__(self) -> None:
        self._free = [Searches()]

    def __deepcopy__(self, memo: object) -> "Kept":
        """Who is copied begins without searches: they are made anew when needed."""
        return Kept()

    @contextmanager
    def borrowed(self) -> Generator[Searches, None, None]:
        """Lend the searches; who comes while they are lent, from another thread, gets new ones."""
        try:
            searches = self._free.pop()
        except IndexError:
            yield Searches()
            return
        try:
            yield searches
        finally:
            self._free.append(searches)


def _changes(last: _Last, costs: Costs, relays: NDArray[np.intp], second: int) -> tuple[Bool, Bool] | None:
    """Return which links and which pairs' caps are others than before; None if these are not few, or more
    than these is.
    """
    before = last.costs
    if last.second != second or not np.array_equal(last.relays, relays):
        return None
    if before.direct.shape != costs.direct.shape or before.relay != costs.relay:
        return None
    if not _equal(before.passage, costs.passage):
        return None
    links = _differ(before.direct, costs.direct) | _differ(before.link, costs.link)
    limits = np.zeros_like(links)
    if before.rtt_cap_ms is not None and costs.rtt_cap_ms is not None:
        links |= _differ(before.rtt_ms, costs.rtt_ms)
        limits = _differ(before.rtt_cap_ms, costs.rtt_cap_ms)
    elif before.rtt_cap_ms is not costs.rtt_cap_ms:
        return None
    np.fill_diagonal(links, False)
    few = np.count_nonzero(links) <= FEW_LINKS and np.count_nonzero(limits) <= FEW_LIMITS * len(limits)
    return (links, limits) if few else None


def _differ(before: F32, after: F32) -> Bool:
    differ: Bool = (before != after) & ~(np.isnan(before) & np.isnan(after))
    return differ


def _equal(before: F32 | None, after: F32 | None) -> bool:
    if before is None or after is None:
        return before is after
    return np.array_equal(before, after)
