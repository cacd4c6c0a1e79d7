"""What would happen if: the shipped planner on a forecast in which nodes or links are gone or worse. Pure.

The routes in force and the forecast are those of now, so what comes out is what the next decision would be.
Nothing is changed. Called by `controller.api.plan`, in a thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import networkx as nx
import numpy as np

from controller.core.decision import Decision
from controller.planner.kept import Kept
from controller.planner.plan import plan
from controller.planner.search import ABSENT, NONE, Relays, path_sum
from controller.policy.costs import RELAY_MS
from controller.prediction.forecast import Forecast
from controller.topology.links import F32, Bool

WORSE_MS = 1.0
WORSE_LOSS = 0.005
"""A route that stays is told of where its forecast becomes worse by more than one of these."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """A link, both directions, that is at least so bad: RTT in ms, loss 0..1; None: as it is."""

    link: tuple[int, int]
    rtt_ms: float | None = None
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class Supposition:
    """What is supposed, by index: nodes that are gone, links (both directions) that are down or degraded."""

    nodes: tuple[int, ...] = ()
    links: tuple[tuple[int, int], ...] = ()
    degraded: tuple[Degraded, ...] = ()


class Fate(StrEnum):
    MOVED = "moved"
    WORSE = "worse"
    CUT_OFF = "cut-off"


@dataclass(frozen=True, slots=True)
class Consequence:
    """What becomes of one route. Paths are relays and destination by index; None: there is none. Figures are
    forecasts of the primary: RTT in ms, loss 0..1, None where nothing is known.
    """

    class_id: int
    source: int
    destination: int
    fate: Fate
    before: tuple[int, ...]
    after: tuple[int, ...] | None
    rtt_before_ms: float | None
    rtt_after_ms: float | None
    loss_before: float | None
    loss_after: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """``load_before`` and ``load_after`` [node]: primaries of all classes through it. ``single_points``:
    nodes without which the rest would fall apart, when what is supposed has happened.
    """

    relays: Relays
    consequences: tuple[Consequence, ...]
    load_before: tuple[int, ...]
    load_after: tuple[int, ...]
    single_points: tuple[int, ...]


def suppose(decision: Decision, what: Supposition, kept: Kept | None = None) -> Outcome:
    """Return what the decision would be, and what it would mean; from searches ``kept`` from earlier ones."""
    forecast = imagined(decision.forecast, what)
    table, now_ns = decision.table, decision.now.monotonic_ns
    rules = decision.rules
    with (kept or Kept()).borrowed() as searches:
        made = plan(
            decision.vertices,
            decision.services,
            forecast,
            table,
            now_ns,
            back_up=False,
            rules=rules,
            searches=searches,
        )
    before, after = table.relays[..., 0, :], made.table.relays[..., 0, :]
    here = np.ones(len(decision.vertices), np.bool_)
    here[list(what.nodes)] = False
    among = here[:, None] & here[None, :]
    # A route that nothing better was found for stays as it is; it carries nothing.
    carries = np.stack([_usable(forecast, relays) for relays in after]) & among
    return Outcome(
        after,
        tuple(_consequences(decision, forecast, before, after, among)),
        _load(before, np.broadcast_to(among, carries.shape)),
        _load(after, carries),
        _single_points(decision, forecast, here),
    )


def imagined(forecast: Forecast, what: Supposition) -> Forecast:
    """Return the forecast with what is supposed."""
    down, alive = forecast.down.copy(), forecast.alive.copy()
    for node in what.nodes:
        down[node, :] = down[:, node] = True
        alive[node] = False
    for a, b in what.links:
        down[a, b] = down[b, a] = True
    rtts = [getattr(forecast, name).copy() for name in _RTTS]
    losses = [getattr(forecast, name).copy() for name in _LOSSES]
    for degraded in what.degraded:
        for at in (degraded.link, degraded.link[::-1]):
            for figures, least in ((rtts, degraded.rtt_ms), (losses, degraded.loss)):
                for matrix in figures:
                    matrix[at] = matrix[at] if least is None else max(matrix[at], least)
    return replace(
        forecast,
        down=down,
        alive=alive,
        **dict(zip(_RTTS, rtts, strict=True)),
        **dict(zip(_LOSSES, losses, strict=True)),
    )


_RTTS = ("rtt_q50_ms", "rtt_q80_ms", "rtt_q90_ms")
_LOSSES = ("loss_q90",)


def _consequences(
    decision: Decision, forecast: Forecast, before: Relays, after: Relays, among: Bool
) -> Iterator[Consequence]:
    for number in range(len(decision.services)):
        old, new = before[number], after[number]
        rtt_before, loss_before = _figures(decision.forecast, old)
        rtt_after, loss_after = _figures(forecast, new)
        usable = _usable(forecast, new)
        had = (old[..., 0] != ABSENT) & among
        moved = had & usable & (old != new).any(axis=-1)
        with np.errstate(invalid="ignore"):
            worse = (rtt_after - rtt_before > WORSE_MS) | (loss_after - loss_before > WORSE_LOSS)
        cut = had & ~usable & _usable(decision.forecast, old)
        for fate, where in (
            (Fate.CUT_OFF, cut),
            (Fate.MOVED, moved),
            (Fate.WORSE, had & usable & worse & ~moved),
        ):
            for a, b in np.argwhere(where).tolist():
                gone = fate is Fate.CUT_OFF
                yield Consequence(
                    number,
                    a,
                    b,
                    fate,
                    _path(old[a, b], b),
                    None if gone else _path(new[a, b], b),
                    _known(rtt_before[a, b]),
                    None if gone else _known(rtt_after[a, b]),
                    _known(loss_before[a, b]),
                    None if gone else _known(loss_after[a, b]),
                )


def _figures(forecast: Forecast, relays: Relays) -> tuple[F32, F32]:
    """Return RTT and loss forecast along a path per pair; NaN where nothing is known."""
    rtt = path_sum(forecast.rtt_q80_ms, forecast.rtt_q80_ms, relays, RELAY_MS)
    kept = np.log1p(-np.clip(forecast.loss_q90, 0.0, 0.999))
    return rtt, -np.expm1(path_sum(kept, kept, relays, 0.0))


def _usable(forecast: Forecast, relays: Relays) -> Bool:
    """Return where every link of a path can be expected to carry traffic, or nobody is there to tell."""
    blocked = (~forecast.usable & ~forecast.unheard).astype(np.float32)
    with np.errstate(invalid="ignore"):
        free: Bool = path_sum(blocked, blocked, relays, 0.0) == 0.0
    return free


def _load(relays: Relays, carries: Bool) -> tuple[int, ...]:
    through = relays[carries]
    return tuple(np.bincount(through[through > NONE], minlength=relays.shape[1]).tolist())


def _single_points(decision: Decision, forecast: Forecast, here: Bool) -> tuple[int, ...]:
    """Return the relays whose loss would part nodes that can reach each other now."""
    relays = np.array([vertex.relay for vertex in decision.vertices], np.bool_)
    both = forecast.usable & forecast.usable.T & here[:, None] & here[None, :]
    # What is no relay carries nothing on: a link between two such leads nowhere else.
    both &= relays[:, None] | relays[None, :]
    graph: nx.Graph[int] = nx.Graph()
    graph.add_edges_from((a, b) for a, b in np.argwhere(np.triu(both)).tolist())
    return tuple(sorted(node for node in nx.articulation_points(graph) if relays[node]))


def _path(relays: Relays, destination: int) -> tuple[int, ...]:
    return (*(relay for relay in relays.tolist() if relay > NONE), destination)


def _known(value: np.float32) -> float | None:
    return float(value) if np.isfinite(value) else None
