"""The cheapest path within limits: of loss, of price, of anything else that adds up along a path. Pure.

The engine's search knows costs and one cap. Where the cheapest path of a pair is above a limit, the search is
made again with what is limited priced in, dearer each time, until the pair's path is within: so the answer is
cheap, and within the limits wherever any path is, but need not be the cheapest within. Where none is, it is
the one least above. Made by `plan` for classes that have limits; the others never come here.
"""

from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.planner.search import ABSENT, SECOND_RELAYS, Paths, Relays, Search, above_limits, path_cost
from controller.policy.costs import OUT_OF_BOUND, Costs
from controller.topology.links import F32, Bool

PRICES = (0.3, 1.0, 3.0, 10.0, 1000.0)
"""What a path that uses a limit up is charged, in costs of a usual path."""


class LimitedSearch:
    """Answers as :class:`~controller.planner.search.Search` does."""

    def __init__(self, costs: Costs, relays: NDArray[np.intp], second: int = SECOND_RELAYS) -> None:
        self.costs = costs
        self._relays, self._second = relays, second
        self._plain = Search(costs, relays, second)
        self._priced: list[Search] = []

    def best(self, avoid: Relays | None = None) -> Paths:
        """Return a cheap path of every pair within the limits, or the one least above them."""
        found = self._plain.best(avoid)
        above = above_limits(self.costs, found.relays) & (found.relays[..., 0] != ABSENT)
        if not above.any():
            return found
        relays = found.relays.copy()
        for number in range(len(PRICES)):
            other = self._search(number, found.cost).best(avoid).relays
            relays[above] = other[above]
            above &= above_limits(self.costs, relays)
            if not above.any():
                break
        return Paths(path_cost(self.costs, relays, self.costs.link), relays)

    def without(self, nodes: Bool) -> Paths:
        """Return such paths that pass none of ``nodes`` [node]."""
        return LimitedSearch(self.costs, self._relays[~nodes[self._relays]], self._second).best()

    def _search(self, number: int, cost: F32) -> Search:
        if number == len(self._priced):
            sound = cost[cost < OUT_OF_BOUND]
            usual = float(np.median(sound)) if len(sound) else 1.0
            more = sum(
                (np.float32(PRICES[number] * usual / limit.most) * limit.link for limit in self.costs.limits),
                np.zeros_like(self.costs.link),
            )
            costs = replace(self.costs, link=self.costs.link + more, direct=self.costs.direct + more)
            self._priced.append(Search(costs, self._relays, self._second))
        return self._priced[number]


Searching: TypeAlias = Search | LimitedSearch
