"""Where one app goes, and why: what the control loop acts upon and a dry run shows. Pure.

`choose` is asked for one app as the world is; all other apps stay where they are.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from controller.orchestration.placement.demands import Ask, ask_of, bound_words
from controller.orchestration.placement.filters import (
    Filter,
    exclusion,
    filters_of,
    possible,
    refusals,
    with_own,
)
from controller.orchestration.placement.problem import Sites, single_ms
from controller.orchestration.placement.quality import Expected
from controller.orchestration.placement.sites import alone
from controller.orchestration.placement.wanted import NOWHERE, Held, Wanted
from controller.orchestration.placement.world import World

MANY = 1_000_000
"""Replicas that fit where nothing is asked."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one replica there would cost, less is better: in ms of an average user's delay. ``share`` of the
    users within the bounds and ``ms`` from them: None where nobody is to be near. ``price`` is of an hour.
    """

    cost_ms: float
    share: float | None
    ms: float | None
    price: float
    fill: float


@dataclass(frozen=True, slots=True)
class Choice:
    """``nodes``, one for each replica; empty: nowhere. ``problem`` says what stands against more, or against
    what users were promised; empty if nothing does. ``expected``: None where nobody is to be near.

    ``refused`` and ``scores`` by name of the node: why not, and by how much; and the candidates, best first.
    ``gap``: how much of its cost another choice may save at most, 0..1; 0: it is the best there is.
    """

    nodes: tuple[str, ...]
    expected: Expected | None = None
    problem: str = ""
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    scores: Mapping[str, Score] = field(default_factory=dict[str, Score])
    gap: float = 0.0

    @property
    def placed(self) -> bool:
        """Whether it runs anywhere."""
        return bool(self.nodes)


def choose(wanted: Wanted, world: World, held: Held = NOWHERE) -> Choice:
    """Return the best nodes for one app that is ``held`` where it runs now."""
    filters = filters_of(wanted, world, held)
    mask = possible(filters, len(world.hosts))
    refused = refusals(filters, world)
    if not mask.any():
        return Choice((), problem=exclusion(filters, world), refused=refused)
    ask = ask_of(wanted, world, held, mask)
    sites, cost, bound = alone(ask.demand, ask.now)
    expected = expected_of(wanted, ask, sites)
    sites = stacked(wanted, world, held, sites)
    return Choice(
        tuple(world.hosts[site].name for site in sites),
        expected,
        problem(wanted, world, filters, len(sites), expected),
        refused,
        _scores(world, ask),
        max(0.0, (cost - bound) / cost) if cost > 0.0 else 0.0,
    )


def expected_of(wanted: Wanted, ask: Ask, sites: Sites) -> Expected | None:
    """Return what an app's users may expect; None where it runs nowhere, or nobody is to be near."""
    return ask.serving.expected(sites, wanted.bounds.satisfy) if ask.serving is not None and sites else None


def stacked(wanted: Wanted, world: World, held: Held, sites: Sites) -> Sites:
    """Return ``sites`` and, where replicas need not be spread, some of them again until there are enough:
    first where most fit.
    """
    if wanted.spread != "none" or not sites or len(sites) >= wanted.least:
        return sites
    amounts = [
        (with_own(world, name, asked, held), asked) for name, asked in wanted.requests.items() if asked > 0.0
    ]
    fit = {
        site: int(
            min((free[site] / asked for free, asked in amounts if np.isfinite(free[site])), default=MANY)
        )
        for site in sites
    }
    taken = Counter(sites)
    while taken.total() < wanted.least:
        site = max(sites, key=lambda site: fit[site] - taken[site])
        if taken[site] >= fit[site]:
            break
        taken[site] += 1
    return tuple(sorted(taken.elements()))


def problem(
    wanted: Wanted, world: World, filters: list[Filter], replicas: int, expected: Expected | None
) -> str:
    """Return what stands against what was asked; empty if nothing does."""
    told: list[str] = []
    if replicas < wanted.least:
        where = {"node": "on nodes of their own", "region": "in regions of their own", "none": ""}[
            wanted.spread
        ]
        missing = f"{replicas} of {wanted.least} replicas have a place {where}".rstrip()
        told.append(f"{missing}, {wanted.least - replicas} short")
        told += [
            f"{one.name} refuses {int(one.refuses.sum())} of {len(world.hosts)} nodes" for one in filters
        ]
    if expected is not None and wanted.bounds.any and expected.share < wanted.bounds.satisfy:
        short = 100.0 * (wanted.bounds.satisfy - expected.share)
        told.append(
            f"asked are {bound_words(wanted.bounds)}; "
            f"{100.0 * expected.share:.1f} % are expected, {short:.1f} % short"
        )
    return "; ".join(told)


def _scores(world: World, ask: Ask) -> dict[str, Score]:
    demand, serving = ask.demand, ask.serving
    cost = single_ms(demand)
    share = None if serving is None else (serving.share @ serving.within).tolist()
    ms = None if serving is None else (serving.share @ serving.ms).tolist()
    price, fill = world.price.tolist(), world.fill.tolist()
    return {
        world.hosts[node].name: Score(
            float(cost[node]),
            None if share is None else share[node],
            None if ms is None else ms[node],
            price[node],
            fill[node],
        )
        for node in sorted(demand.possible, key=lambda node: cost[node])
    }
