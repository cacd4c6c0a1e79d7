"""Who measures links to whom: all to all in a mesh that is small enough, else edges some relays each. Pure.

A full mesh of n nodes sends n² probes. Above a configured number of nodes relays probe each other, and each
edge probes the relays that are most useful to it: over which the best three ways to many destinations lead,
as far as is known, and over which routes in force pass. An eighth of its places goes to others at random, so
that nobody stays unknown. Pairs that talk probe each other as well (`core.watching`, which owns what is
chosen and asks for it in turns).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.planner.search import Relays
from controller.policy.costs import RELAY_MS
from controller.topology.links import F32, Bool, Vertex

RANKS = (1.0, 0.5, 0.25)
"""What being the best, second and third relay towards a destination counts."""
BACK_UP = 0.5
"""What a back-up in force counts beside a primary."""
KEEP = 1.25
"""A relay that is probed already counts so much more: who is as good as another does not take its place."""
EXPLORE = 8
"""One of so many places is for somebody at random."""
DESTINATIONS = 128
"""Usefulness is judged by so many destinations, evenly spread over all."""


@dataclass(frozen=True, slots=True)
class Probing:
    """Up to ``full_mesh`` nodes all probe each other; above, an edge probes so many ``relays``."""

    full_mesh: int = 1000
    relays: int = 48


@dataclass(frozen=True, slots=True)
class Sight:
    """What usefulness is judged by. ``rtt_ms`` [node, node] is the newest sample of either end, however old;
    ``alive`` [node] report; ``relays`` [class, from, to, path, 2] are routes in force.
    """

    rtt_ms: F32
    alive: Bool
    relays: Relays


def core_of(vertices: Sequence[Vertex], probing: Probing) -> Bool:
    """Return which nodes all probe each other: the relays, of more than a full mesh the first to come."""
    core = np.array([vertex.relay for vertex in vertices], np.bool_)
    core[np.flatnonzero(core)[probing.full_mesh :]] = False
    return core


def choose(
    sight: Sight, core: Bool, chosen: Bool, edges: NDArray[np.intp], probing: Probing, seed: int
) -> NDArray[np.intp]:
    """Return for each of ``edges`` the relays of the ``core`` that it is to probe [edge, place]; ``chosen``
    [node, node] is what it probes now. Another ``seed`` draws others at random.
    """
    relays = np.flatnonzero(core)
    places = min(probing.relays, len(relays))
    if places == len(relays):
        return np.broadcast_to(relays, (len(edges), places))
    score = usefulness(sight, relays, edges)
    score *= np.where(chosen[np.ix_(edges, relays)], np.float32(KEEP), np.float32(1.0))
    score[:, ~sight.alive[relays]] = 0.0
    known = max(places - max(places // EXPLORE, 1), 0)
    drawn = np.argsort(_mixed(edges, relays, seed) + ~sight.alive[relays], axis=1)
    best = np.argsort(-score, axis=1, kind="stable")[:, :known]
    taken = np.zeros(score.shape, np.bool_)
    np.put_along_axis(taken, best, np.take_along_axis(score, best, axis=1) > 0.0, axis=1)
    free = ~np.take_along_axis(taken, drawn, axis=1)
    # Places that no useful relay fills are drawn as well.
    left = places - taken.sum(axis=1, keepdims=True)
    np.put_along_axis(taken, drawn, ~free | (np.cumsum(free, axis=1) <= left), axis=1)
    return relays[np.nonzero(taken)[1].reshape(len(edges), places)]


def usefulness(sight: Sight, relays: NDArray[np.intp], edges: NDArray[np.intp]) -> F32:
    """Return how useful each relay is to each edge [edge, relay]: the share of destinations that it is best
    for, and of routes in force that pass it.
    """
    n = len(sight.alive)
    destinations = np.unique(np.linspace(0, n - 1, min(n, DESTINATIONS)).astype(np.intp))
    rtt = np.where(np.isnan(sight.rtt_ms), np.float32(np.inf), sight.rtt_ms)
    np.fill_diagonal(rtt, 0.0)
    between, onward = rtt[np.ix_(relays, relays)], rtt[np.ix_(relays, destinations)]
    reach = onward.copy()
    for i in range(len(destinations)):  # over one more relay
        reach[:, i] = np.minimum(onward[:, i], (between + onward[None, :, i]).min(axis=1) + RELAY_MS)
    score = np.zeros((len(edges), len(relays)), np.float32)
    columns = np.arange(len(destinations))
    for row, edge in enumerate(edges.tolist()):
        measured = np.flatnonzero(np.isfinite(rtt[edge, relays]))
        cost = rtt[edge, relays[measured], None] + reach[measured]
        for weight in RANKS[: len(measured)]:
            best = cost.argmin(axis=0)
            good = np.isfinite(cost[best, columns])
            count = np.bincount(best[good], minlength=len(measured))
            score[row, measured] += weight * count / len(destinations)
            cost[best, columns] = np.inf
        score[row] += _in_force(sight.relays, edge, n)[relays]
    return score


def _in_force(relays: Relays, edge: int, n: int) -> F32:
    """Return the share of an edge's routes that have each node next to it, of both directions."""
    share = np.zeros(n, np.float32)
    leaving, coming = relays[:, edge], relays[:, :, edge]
    last = np.where(coming[..., 1] >= 0, coming[..., 1], coming[..., 0])
    for nearest in (leaving[..., 0], last):
        for path in range(nearest.shape[-1]):
            passed = nearest[..., path]
            count = np.bincount(passed[passed >= 0], minlength=n)
            share += (BACK_UP if path else 1.0) / 2 * count / max(passed.size, 1)
    return share


def _mixed(edges: NDArray[np.intp], relays: NDArray[np.intp], seed: int) -> NDArray[np.float64]:
    """Return a number in 0..1 for each [edge, relay], the same in every run (SplitMix64)."""
    mixed = edges.astype(np.uint64)[:, None] << np.uint64(40) | relays.astype(np.uint64)[
        None, :
    ] << np.uint64(20)
    mixed += np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15 & 0xFFFFFFFF)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ mixed >> np.uint64(shift)) * np.uint64(factor)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
