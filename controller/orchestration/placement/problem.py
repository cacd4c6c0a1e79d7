"""What is to be placed, on what, and what a placement costs. Pure data and arithmetic.

Costs are in milliseconds of an average user's delay: what is not delay (a price, a move, a share of users not
served as promised) has been turned into them by who makes the problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

F64: TypeAlias = NDArray[np.float64]
Bool: TypeAlias = NDArray[np.bool_]

SHORTFALL_MS = 2000.0
"""Cost of serving nobody as promised who was promised; a part of them costs that part."""
NOWHERE_MS = 50_000.0
"""Cost of an app that is placed nowhere: more than any place."""
EPSILON = 1e-9

Sites: TypeAlias = tuple[int, ...]
"""Where the replicas of an app are: indices of nodes, ascending, each once. Empty: nowhere."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one app asks.

    ``requests`` [resource] of each replica. ``users_ms`` [group, node]: what it costs when the whole group is
    served there, weighted by its share of the users; inf where it may not be. ``within`` [group, node]: the
    share of all users that are in the group and would be served as promised there. ``promised``: the share to
    be served as promised, 0..1; 0 where nothing is. ``site_ms`` [node]: what a replica there costs by itself
    (its price, bringing it up); inf where it may not run. ``zone`` [node]: no two replicas in one of the same
    number; None: on one node.
    """

    requests: F64
    users_ms: F64
    within: F64
    site_ms: F64
    promised: float = 0.0
    least: int = 1
    most: int = 1
    zone: NDArray[np.intp] | None = None

    @property
    def nodes(self) -> int:
        return len(self.site_ms)

    @property
    def possible(self) -> list[int]:
        """Return the nodes where it may run."""
        return np.flatnonzero(np.isfinite(self.site_ms)).tolist()

    def near(self, sites: Sequence[int]) -> Bool:
        """Return [node] whether no other replica may be there, beside those at ``sites``."""
        if self.zone is None:
            beside = np.zeros(self.nodes, np.bool_)
            beside[list(sites)] = True
            return beside
        return np.isin(self.zone, self.zone[list(sites)])

    def apart(self, sites: Sequence[int]) -> bool:
        """Return whether no two of ``sites`` are in one zone."""
        return self.zone is None or len(set(self.zone[list(sites)].tolist())) == len(sites)


@dataclass(frozen=True, slots=True)
class Bond:
    """Two apps that talk: each replica of ``one`` with the nearest of ``other``; ``ms`` [node, node] is
    weighted by how much they talk.
    """

    one: int
    other: int
    ms: F64


@dataclass(frozen=True, slots=True)
class Problem:
    """``capacity`` [node, resource] is what is left for these apps."""

    demands: tuple[Demand, ...]
    capacity: F64
    bonds: tuple[Bond, ...] = ()
    bonds_of: dict[int, tuple[Bond, ...]] = field(init=False)

    def __post_init__(self) -> None:
        of: dict[int, list[Bond]] = {}
        for bond in self.bonds:
            of.setdefault(bond.one, []).append(bond)
            of.setdefault(bond.other, []).append(bond)
        object.__setattr__(self, "bonds_of", {app: tuple(bonds) for app, bonds in of.items()})

    def load(self, placed: Sequence[Sites]) -> F64:
        """Return [node, resource] what the replicas take."""
        load = np.zeros_like(self.capacity)
        at = np.array([site for sites in placed for site in sites], np.intp)
        app = np.repeat(np.arange(len(placed)), [len(sites) for sites in placed])
        np.add.at(load, at, np.array([demand.requests for demand in self.demands])[app])
        return load

    def fits(self, placed: Sequence[Sites]) -> bool:
        """Return whether no node is asked for more than it has."""
        return bool((self.load(placed) <= self.capacity + 1e-9).all())

    def cost(self, placed: Sequence[Sites]) -> float:
        """Return what a placement of all costs."""
        alone = sum(cost_of(demand, sites) for demand, sites in zip(self.demands, placed, strict=True))
        return alone + sum(bond_cost(bond, placed[bond.one], placed[bond.other]) for bond in self.bonds)


@dataclass(frozen=True, slots=True)
class Served:
    """How an app's users are served: from which of ``sites`` [group], and the share of all as promised."""

    by: NDArray[np.intp]
    within: float


def served(demand: Demand, sites: Sites) -> Served:
    """Return how users are served from ``sites``: each group by what is cheapest for it."""
    here = np.array(sites, np.intp)
    by = here[np.argmin(demand.users_ms[:, here], axis=1)]
    return Served(by, float(demand.within[np.arange(len(by)), by].sum()))


def cost_of(demand: Demand, sites: Sites) -> float:
    """Return what ``sites`` cost an app, those it talks to aside; inf where they may not be."""
    if not sites:
        return NOWHERE_MS
    here = list(sites)
    users = float(demand.users_ms[:, here].min(axis=1).sum())
    alone = users + float(demand.site_ms[here].sum())
    if not demand.apart(sites):
        return np.inf
    if demand.promised <= 0.0 or not np.isfinite(alone):
        return alone
    return alone + SHORTFALL_MS * max(0.0, demand.promised - served(demand, sites).within)


def single_ms(demand: Demand) -> F64:
    """Return [node] what one replica there costs an app, as :func:`cost_of` does."""
    total = demand.users_ms.sum(axis=0) + demand.site_ms
    if demand.promised <= 0.0:
        return total
    return total + SHORTFALL_MS * np.maximum(0.0, demand.promised - demand.within.sum(axis=0))


def bond_cost(bond: Bond, one: Sites, other: Sites) -> float:
    """Return what it costs two apps to talk; nothing while either is nowhere."""
    if not one or not other:
        return 0.0
    return float(bond.ms[np.ix_(one, other)].min(axis=1).mean())
