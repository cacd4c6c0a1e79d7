"""How users would be served from each node, and how sure that is. Pure.

A round trip is taken to be normal about what is expected of it, or as experience has it where there is any
(`likely`); a variation to be normal with three tenths of itself; a loss to be exponential with the quantile
that is forecast. Bounds are taken to be kept or broken independently of each other.
"""

from dataclasses import dataclass
from math import log

import numpy as np

from controller.orchestration.placement.problem import F64
from controller.orchestration.placement.programs import below
from controller.orchestration.placement.wanted import Bounds
from controller.orchestration.placement.world import PathFigures, Users, World
from controller.topology.links import F32

LEAST_SD_MS = 0.5
JITTER_SPREAD = 0.3
LEAST_JITTER_MS = 0.2
UNREACHABLE_MS = 1e4
"""What a round trip counts that nobody expects to come back."""
STEPS = 1000
"""Shares of users are counted in thousandths."""


@dataclass(frozen=True, slots=True)
class Expected:
    """``share`` of the users that are likely served within all bounds, 0..1, and ``p_satisfied``: how likely
    it is that as many are as were asked for. ``ms`` is the average user's round trip, ``sd`` how far it may
    stray.
    """

    share: float
    p_satisfied: float
    ms: float
    sd: float


@dataclass(frozen=True, slots=True)
class Serving:
    """[entry of the group, node]: ``ms``, ``sd_ms`` of the round trip from the users, ``loss``, and how
    likely all bounds are kept. ``share`` [entry] of the users.
    """

    ms: F64
    sd_ms: F64
    loss: F64
    within: F64
    share: F64

    def expected(self, sites: tuple[int, ...], satisfy: float) -> Expected:
        """Return what comes of running at ``sites``, each entry served by the nearest."""
        here = np.array(sites, np.intp)
        by = here[self.ms[:, here].argmin(axis=1)]
        entries = np.arange(len(by))
        ms, sd = self.ms[entries, by], self.sd_ms[entries, by]
        within = self.within[entries, by]
        return Expected(
            share=float(self.share @ within),
            p_satisfied=at_least(self.share, within, satisfy),
            ms=float(self.share @ ms),
            sd=float(np.sqrt(np.square(self.share * sd).sum())),
        )


def serving_of(users: Users, bounds: Bounds, world: World) -> Serving:
    """Return how a group would be served from each node."""
    figures, rows = world.paths, users.nodes
    unknown = np.isnan(figures.ms[rows])
    ms = np.where(unknown, UNREACHABLE_MS, figures.ms[rows]).astype(np.float64)
    ms += users.last_mile_ms[:, None]
    sd = np.nan_to_num(figures.sd_ms[rows]).astype(np.float64)
    loss = np.where(unknown, 1.0, np.nan_to_num(figures.loss[rows])).astype(np.float64)
    within = np.where(unknown, 0.0, 1.0)
    if bounds.latency_ms is not None:
        within *= _latency(users, bounds.latency_ms, ms, sd, figures)
    if bounds.jitter_ms is not None:
        within *= _jitter(figures.jitter_ms[rows], bounds.jitter_ms)
    if bounds.loss is not None:
        within *= -np.expm1(log(0.1) * max(bounds.loss, 1e-6) / np.maximum(loss, 1e-9))
    if bounds.mbps is not None:
        within *= ~(figures.mbps[rows] < bounds.mbps)
    return Serving(ms, sd, loss, within, users.share)


def _latency(users: Users, bound_ms: float, ms: F64, sd_ms: F64, figures: PathFigures) -> F64:
    """Return how likely each round trip is within the bound: by experience where there is any."""
    likely: F64 = below((bound_ms - ms) / np.maximum(sd_ms, LEAST_SD_MS))
    for entry, (node, last_mile_ms) in enumerate(zip(users.nodes.tolist(), users.last_mile_ms, strict=True)):
        seen = figures.within.get((node, asked_ms(bound_ms, float(last_mile_ms))))
        if seen is not None:
            likely[entry] = np.where(np.isnan(seen), likely[entry], seen)
    return likely


def asked_ms(bound_ms: float, last_mile_ms: float) -> float:
    """Return what a bound leaves to the mesh, as experience is kept of: in tenths of a ms."""
    return round(bound_ms - last_mile_ms, 1)


def _jitter(jitter_ms: F32, bound_ms: float) -> F64:
    jitter = np.nan_to_num(jitter_ms).astype(np.float64)
    return below((bound_ms - jitter) / (JITTER_SPREAD * jitter + LEAST_JITTER_MS))


def at_least(share: F64, within: F64, satisfy: float) -> float:
    """Return how likely it is that entries worth ``satisfy`` of the users are within, each by itself as
    likely as ``within`` [entry]. Exact but for rounding shares to thousandths.
    """
    worth = np.floor(share * STEPS + 0.5).astype(int)
    chance = np.zeros(int(worth.sum()) + 1)
    chance[0] = 1.0
    for steps, likely in zip(worth.tolist(), within.tolist(), strict=True):
        moved = np.zeros_like(chance)
        moved[steps:] = chance[: len(chance) - steps]
        chance = chance * (1.0 - likely) + moved * likely
    least = int(np.ceil(satisfy * (len(chance) - 1) - 0.5))
    return float(min(1.0, chance[max(0, least) :].sum()))
