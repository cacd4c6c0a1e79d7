"""What placement may know of the running mesh: the one module that looks at both. No I/O.

:meth:`Outlook.glance` runs where the controller runs, on its event loop: it takes references to what a
decision has worked out already, and copies what changes. :meth:`Outlook.figures` makes of it what placement
asks, in another thread, one call at a time. The mesh knows of neither.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.core.controller import Controller
from controller.core.instant import Instant
from controller.orchestration.placement.likely import Likely, Question
from controller.orchestration.placement.world import PathFigures
from controller.planner.search import ABSENT, NONE, Relays, path_sum
from controller.policy.costs import RELAY_MS
from controller.prediction.forecast import Forecast
from controller.topology.links import F32, I64, NEVER, Bool
from overlayd.model.ids import NodeId
from overlayd.model.service import Objective

Q90_SD = 1.28155
"""Where the 90th percentile of a normal distribution is, in standard deviations."""
LEAST_SD_SHARE = 0.02
"""A round trip strays by so much of itself at least."""
SELF_MS = 0.1
"""From a node to itself."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One moment of the mesh. ``ids`` and ``names`` of all nodes, in the order of ``rtt_ms`` and ``at_ns``
    [reporter, peer], the newest samples and when they came; ``heard`` [node]: it, or another of it, told
    something lately. ``forecast`` and ``relays`` [from, to, 2], the paths in force, are in the order of
    ``decided_ids``; None before there is a decision.
    """

    now: Instant
    ids: tuple[NodeId, ...]
    names: tuple[str, ...]
    rtt_ms: F32
    at_ns: I64
    fresh_ns: int
    heard: Bool
    decided_ids: tuple[NodeId, ...] = ()
    forecast: Forecast | None = None
    relays: Relays | None = None


class Outlook:
    """Keeps what experience says of bounds, over as many glances as are made into figures."""

    def __init__(self) -> None:
        self._likely = Likely(0)
        self._ids: tuple[NodeId, ...] = ()
        self._taken_ns = NEVER

    @staticmethod
    def glance(core: Controller, now: Instant) -> Glance:
        """Look at the mesh as it is. Cheap; to be called where ``core`` is."""
        topology, now_ns = core.topology, now.monotonic_ns
        fresh = topology.fresh(now_ns) & ~topology.said_down(now_ns)
        heard: Bool = fresh.any(axis=0) | topology.reporting(now_ns)
        seen = Glance(
            now,
            tuple(vertex.id for vertex in topology.vertices),
            tuple(vertex.name for vertex in topology.vertices),
            topology.latest.rtt_ms.copy(),
            topology.latest.at_ns.copy(),
            topology.fresh_ns,
            heard,
        )
        decided = core.decided
        if decided is None:
            return seen
        objectives = [service.objective for service in core.services]
        number = objectives.index(Objective.LATENCY) if Objective.LATENCY in objectives else 0
        return Glance(
            seen.now, seen.ids, seen.names, seen.rtt_ms, seen.at_ns, seen.fresh_ns, seen.heard,
            tuple(vertex.id for vertex in decided.question.vertices),
            decided.question.forecast,
            decided.plan.table.relays[number, :, :, 0],
        )  # fmt: skip

    def figures(self, seen: Glance, questions: Iterable[Question]) -> PathFigures:
        """Return what to expect of all paths, and how likely they keep the bounds that are asked about, by
        index of the glance's nodes.
        """
        self._settle(seen.ids)
        self._likely.ask(questions)
        kept = _places(seen.ids, seen.decided_ids)
        relays = _relays(seen, kept)
        self._likely.observe(self._measured(seen, relays), seen.now.monotonic_ns / 1e9)
        if seen.forecast is None:
            return _nothing(len(seen.ids))
        ms, sd_ms = _round_trips(seen.forecast, kept, relays)
        forecast = seen.forecast
        kept_share = -np.log1p(-np.clip(np.nan_to_num(forecast.loss_q90), 0.0, 0.999))
        lost = path_sum(*_twice(_picked(kept_share, kept)), relays, 0.0)
        jitter = path_sum(*_twice(_picked(forecast.jitter_ms, kept)), relays, 0.0)
        within = self._likely.expect(ms, sd_ms)
        loss = -np.expm1(-lost)
        for values, at_home in ((ms, SELF_MS), (sd_ms, SELF_MS), (jitter, 0.0), (loss, 0.0)):
            np.fill_diagonal(values, at_home)
        return PathFigures(ms, sd_ms, jitter, loss, _free_mbps(forecast, kept, relays), within)

    def _settle(self, ids: tuple[NodeId, ...]) -> None:
        if ids != self._ids:
            self._likely.renumber(_places(ids, self._ids))
            self._ids = ids

    def _measured(self, seen: Glance, relays: Relays) -> F32:
        """Return the round trips of the paths in force as they were measured since the last glance, by both
        ends' samples, the worse of the two; NaN where no link of a path has a new one, or one has none that
        still counts.
        """
        now_ns = seen.now.monotonic_ns
        sample = np.where(now_ns - seen.at_ns <= seen.fresh_ns, seen.rtt_ms, np.float32(np.nan))
        sample = np.fmax(sample, sample.T)
        stale = (np.maximum(seen.at_ns, seen.at_ns.T) <= self._taken_ns).astype(np.float32)
        self._taken_ns = now_ns
        rtt_ms = path_sum(sample, sample, relays, RELAY_MS)
        old = path_sum(stale, stale, relays, 0.0)
        rtt_ms[old >= 1.0 + np.sum(relays >= 0, axis=-1)] = np.nan
        np.fill_diagonal(rtt_ms, SELF_MS)
        return rtt_ms


def _places(ids: tuple[NodeId, ...], before: tuple[NodeId, ...]) -> NDArray[np.intp]:
    """Return the place of each of ``ids`` in ``before``; −1 where it is not there."""
    index = {node: place for place, node in enumerate(before)}
    return np.array([index.get(node, -1) for node in ids], np.intp)


def _picked(values: F32, places: NDArray[np.intp]) -> F32:
    """Return [from, to] in the order of ``places``, NaN at nodes that were not there."""
    picked = np.full((len(places), len(places)), np.nan, np.float32)
    there = np.flatnonzero(places >= 0)
    picked[np.ix_(there, there)] = values[np.ix_(places[there], places[there])]
    return picked


def _twice(link: F32) -> tuple[F32, F32]:
    return link, link


def _relays(seen: Glance, kept: NDArray[np.intp]) -> Relays:
    """Return the paths in force by the glance's own indices; direct ones between nodes of which none is."""
    n = len(kept)
    relays: Relays = np.full((n, n, 2), NONE, np.int16)
    if seen.relays is None:
        return relays
    now = _places(seen.decided_ids, seen.ids).astype(np.int16)
    there = np.flatnonzero(kept >= 0)
    old = seen.relays[np.ix_(kept[there], kept[there])]
    moved = np.where(old >= 0, now[np.maximum(old, 0)], old)
    gone = ((old >= 0) & (moved < 0)).any(axis=-1)
    moved[gone] = (ABSENT, NONE)
    relays[np.ix_(there, there)] = moved
    return relays


def _round_trips(forecast: Forecast, kept: NDArray[np.intp], relays: Relays) -> tuple[F32, F32]:
    """Return the expected round trip of each path and how far it may stray, ms; NaN where nothing passes."""
    mean = forecast.rtt_q50_ms if forecast.learned_ms is None else forecast.learned_ms
    mean = np.where((forecast.held_ns > 0) | np.isnan(mean), forecast.expected_ms, mean)
    mean = np.where(forecast.usable, mean, np.float32(np.nan))
    sd = np.maximum((forecast.rtt_q90_ms - forecast.rtt_q50_ms) / Q90_SD, LEAST_SD_SHARE * mean)
    ms = path_sum(*_twice(_picked(mean, kept)), relays, RELAY_MS)
    variance = path_sum(*_twice(_picked(np.square(sd), kept)), relays, 0.0)
    return ms, np.sqrt(variance)


def _free_mbps(forecast: Forecast, kept: NDArray[np.intp], relays: Relays) -> F32:
    """Return what is free on the narrowest link of each path; NaN where no link's capacity is known."""
    n = len(kept)
    if forecast.capacity_bps is None:
        return np.full((n, n), np.nan, np.float32)
    load = 0.0 if forecast.load_bps is None else np.nan_to_num(forecast.load_bps)
    free = _picked(np.maximum(forecast.capacity_bps - load, 0.0).astype(np.float32) / np.float32(1e6), kept)
    narrowest = free.copy()
    rows, columns = np.nonzero(relays[..., 0] >= 0)
    first, second = (relays[rows, columns, leg].astype(np.intp) for leg in (0, 1))
    last: NDArray[np.intp] = np.where(second >= 0, second, first)
    legs = np.fmin(free[rows, first], free[last, columns])
    narrowest[rows, columns] = np.fmin(legs, np.where(second >= 0, free[first, last], np.float32(np.nan)))
    return narrowest


def _nothing(n: int) -> PathFigures:
    """Return what is known before the first decision: of no path but that of a node to itself."""
    none = np.full((n, n), np.nan, np.float32)
    ms = none.copy()
    np.fill_diagonal(ms, SELF_MS)
    return PathFigures(ms, none, none, none, none)
