"""What each place would cost an app, in ms of an average user's delay. Pure.

A bound that is broken costs most (`problem.SHORTFALL_MS`), then comes what the policy weighs. An app that
runs is moved only for what is worth it: each other place costs more than those it has.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from controller.orchestration.placement.filters import untolerated_preferences
from controller.orchestration.placement.problem import F64, SHORTFALL_MS, Bool, Demand, Sites, cost_of
from controller.orchestration.placement.quality import Serving, serving_of
from controller.orchestration.placement.wanted import Bounds, Held, Wanted
from controller.orchestration.placement.world import Users, World

BOUNDED = 0.1
"""What a ms counts where there is a bound in ms: inside it is good enough."""
MOVE_SHARE = 0.04
"""An app with bounds moves for so much more of its users within them, or what is worth as much."""
GAIN_SHARE, GAIN_MS = 0.1, 5.0
"""One without moves for so much of what its places cost now, and so much at least."""
RESTLESS = 3.0
"""Before its dwell is over it takes so many times as much."""
CLOUD_MS = 100.0
"""The cloud as the fallback is worth five more users of a hundred within their bounds."""
AVOID_MS = 50.0
"""What a taint costs that asks to stay away where possible."""
REPLICA_MS = 2.0
"""What a replica is to gain that is not asked for."""


@dataclass(frozen=True, slots=True)
class Ask:
    """An app's demand; how it would be served from each node, None where nobody is to be near; by index where
    it is ``now``, as far as it may stay.
    """

    demand: Demand
    serving: Serving | None
    now: Sites


def ask_of(wanted: Wanted, world: World, held: Held, mask: Bool) -> Ask:
    """Return what an app asks that may run where ``mask`` [node] says. Apps that it talks to count where they
    are, as far as they run.
    """
    serving = _serving(wanted, world)
    now = tuple(
        sorted({node for name in held.nodes if (node := world.index.get(name)) is not None and mask[node]})
    )
    site_ms = np.where(mask, _site_ms(wanted, world), np.inf)
    zone = _zone(wanted, world)
    zones = np.unique(zone[mask]) if zone is not None else np.flatnonzero(mask)
    least = min(wanted.least, len(zones))
    most = max(least, min(wanted.most, len(zones)))
    promised = wanted.bounds.satisfy if wanted.bounds.any and serving is not None else 0.0
    users, within = _weighed(wanted, world, serving)
    requests = np.array(list(wanted.requests.values()), np.float64)
    settled = Demand(requests, users, within, site_ms, promised, least, most, zone)
    if held.nodes:
        stays = np.zeros(len(mask), np.bool_)
        stays[list(now)] = True
        site_ms = site_ms + np.where(stays, 0.0, _leaving_ms(wanted, held, settled, now))
    return Ask(replace(settled, site_ms=site_ms), serving, now)


def _weighed(wanted: Wanted, world: World, serving: Serving | None) -> tuple[F64, F64]:
    """Return [entry, node] what it costs to serve an entry there, and the share of users within the bounds.
    Apps with the same users and wishes share both.
    """
    if serving is None:
        none = np.zeros((1, len(world.hosts)))
        return none, none
    each = wanted.weights.latency * (BOUNDED if wanted.bounds.latency_ms is not None else 1.0)
    key = id(serving), each, wanted.weights.reliability
    if (known := world.weighed.get(key)) is None:
        delay = each * serving.ms + wanted.weights.reliability * serving.loss
        known = serving.share[:, None] * delay, serving.share[:, None] * serving.within
        world.weighed[key] = known
    return known


def _serving(wanted: Wanted, world: World) -> Serving | None:
    near = tuple(there for other in wanted.near if (there := world.placed.get(other)))
    key = wanted.users, near, wanted.bounds
    if key not in world.served:
        world.served[key] = _served(wanted, world, near)
    return world.served[key]


def _served(wanted: Wanted, world: World, near: tuple[Sites, ...]) -> Serving | None:
    groups = [world.groups[wanted.users]] if wanted.users is not None and wanted.users in world.groups else []
    groups += [_instances(there) for there in near]
    groups = [group for group in groups if group.weight.sum() > 0.0]
    if not groups:
        return None
    users = Users(
        np.concatenate([group.nodes for group in groups]),
        np.concatenate([group.share for group in groups]) / len(groups),
        np.concatenate([group.last_mile_ms for group in groups]),
    )
    return serving_of(users, wanted.bounds, world)


def _instances(sites: tuple[int, ...]) -> Users:
    """Return an app that is talked to, as users at its nodes."""
    return Users(np.array(sites, np.intp), np.ones(len(sites)), np.zeros(len(sites)))


def _site_ms(wanted: Wanted, world: World) -> F64:
    """Return [node] what a replica there costs by itself."""
    weights = wanted.weights
    cost = weights.cost * world.price + weights.reliability * world.down + weights.balance * world.fill
    if wanted.cloud:
        cost = cost + CLOUD_MS * world.cloud
    return cost + AVOID_MS * untolerated_preferences(wanted, world) + REPLICA_MS


def _zone(wanted: Wanted, world: World) -> NDArray[np.intp] | None:
    """Return [node] the number of its region, where replicas are spread over those. A node without a region
    is one by itself.
    """
    if wanted.spread != "region":
        return None
    names = [host.region or f" {place}" for place, host in enumerate(world.hosts)]
    return np.unique(names, return_inverse=True)[1].astype(np.intp)


def _leaving_ms(wanted: Wanted, held: Held, settled: Demand, now: Sites) -> float:
    """Return what another place has to be better by."""
    if wanted.bounds.any:
        gain = MOVE_SHARE * SHORTFALL_MS
    else:
        cost = cost_of(settled, now) if now else 0.0
        gain = max(GAIN_MS, GAIN_SHARE * (cost if np.isfinite(cost) else 0.0))
    return gain * (RESTLESS if held.age_s < wanted.dwell_s else 1.0)


def bound_words(bounds: Bounds) -> str:
    """Return what users were promised, in words."""
    parts = [
        f"{value:g} {unit}"
        for value, unit in (
            (bounds.latency_ms, "ms"),
            (bounds.jitter_ms, "ms of jitter"),
            (bounds.mbps, "Mbit/s"),
            (None if bounds.loss is None else 100.0 * bounds.loss, "% of loss"),
        )
        if value is not None
    ]
    return f"{100.0 * bounds.satisfy:g} % of the users within " + ", ".join(parts)
