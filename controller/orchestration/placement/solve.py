"""Where all apps go when they compete for nodes. Pure.

Where all apps' choices are few, an integer program weighs them all, and the answer is the best there is.
Where they are many, nodes' capacity gets prices (`prices`), at which each app looks for its own sites
(`sites`); what they choose is made to fit by `whole`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.orchestration.placement.columns import Columns
from controller.orchestration.placement.crowd import Crowd
from controller.orchestration.placement.prices import find_prices
from controller.orchestration.placement.problem import EPSILON, Problem, Sites
from controller.orchestration.placement.sites import FEW, choices
from controller.orchestration.placement.whole import choose, make_whole, polish


@dataclass(frozen=True, slots=True)
class Placement:
    """``sites`` of each app, empty where it is placed nowhere. ``bound_ms``: no placement costs less, as far
    as the search for one app's sites is exact (it is for one replica); what apps say to each other counts
    nothing in it.
    """

    sites: tuple[Sites, ...]
    cost_ms: float
    bound_ms: float

    @property
    def gap(self) -> float:
        """Return how far above the bound it is, 0..1 of the cost."""
        return max(0.0, (self.cost_ms - self.bound_ms) / max(self.cost_ms, EPSILON))


def solve(problem: Problem, now: Sequence[Sites] = ()) -> Placement:
    """Place all apps. ``now``: where they are, which is weighed as well."""
    columns = Columns(problem)
    apps = list(range(len(problem.demands)))
    if sum(choices(demand) for demand in problem.demands) <= FEW:
        for app in apps:
            columns.add_all(app)
        nowhere: list[Sites] = [()] * len(apps)
        sites = choose(columns, Crowd(problem.demands), apps, nowhere, problem.capacity)
        cost = problem.cost(sites)
        return Placement(tuple(sites), cost, cost)
    crowd = Crowd(problem.demands)
    for app, sites in enumerate(now):
        columns.add(app, sites)
    prices = find_prices(columns, crowd)
    sites = make_whole(columns, crowd, prices.worth_ms)
    cost = problem.cost(sites)
    return Placement(tuple(sites), cost, min(prices.bound_ms, cost))


def recheck(problem: Problem, now: Sequence[Sites]) -> tuple[Sites, ...]:
    """Return where apps are better off than where they are, each by itself; those that need not move stay."""
    return tuple(polish(problem, Crowd(problem.demands), now))
