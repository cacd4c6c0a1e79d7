"""Objectives as additive costs of links, so that one search serves all classes. Pure.

Penalties make order, not exclusion: a path outside a bound is worse than any inside, but where nothing else
is left, the least bad one is still found.
"""

import math
from dataclasses import dataclass

import numpy as np

from controller.prediction.forecast import Forecast
from controller.topology.links import F32
from overlayd.model.service import Objective, ServiceClass

RELAY_MS = 2.0
"""What a relay adds to a path's RTT."""

UNCONFIRMED = 1_000.0
"""Penalty of a relayed path's link that only one end vouches for: a node that reports fine links which
their other ends do not see must not attract traffic.
"""
OUT_OF_BOUND = 10_000.0
"""Penalty of a link or path outside the class's bound."""

LOSSY = 100.0
"""Weighs the probability of more than one percent of loss, where that is learned."""
JITTER_PER_RTT = 0.05
RELIABILITY_PER_MS = 0.01
PRICE_PER_MS = 0.001
RELAY_PRICE = 0.05
"""Price of a relay's own work, in the unit of prices per GB: with no prices given, direct is cheapest."""


@dataclass(frozen=True, slots=True)
class Gain:
    """A path is left for a better one only for more than ``share`` of its cost and more than ``least``; for
    more than ``plenty`` in any case.
    """

    share: float
    least: float
    plenty: float = math.inf


GAINS = {
    Objective.LATENCY: Gain(0.10, 5.0, 8.0),
    Objective.RELIABILITY: Gain(0.10, 2.0),
    Objective.JITTER: Gain(0.10, 2.0),
    Objective.COST: Gain(0.10, 0.05),
}


@dataclass(frozen=True, slots=True)
class Costs:
    """The matrices of one class, [from, to]; infinite where a link cannot be used.

    ``direct`` is the cost of a link as the direct path, ``link`` inside a relayed path that would be new,
    ``kept`` inside one that is in force, ``bare`` without any penalty; ``relay`` is added per relay. A path
    whose RTT (``rtt_ms`` summed, and :data:`RELAY_MS` per relay) is above ``rtt_cap_ms`` (of its ends) costs
    :data:`OUT_OF_BOUND` more.
    """

    bare: F32
    link: F32
    kept: F32
    direct: F32
    relay: float
    rtt_ms: F32
    rtt_cap_ms: F32 | None
    gain: Gain


def costs_of(service: ServiceClass, forecast: Forecast, price: F32, best_rtt_ms: F32) -> Costs:
    """Return the costs of a class. ``price`` [node] is per GB sent; ``best_rtt_ms`` [from, to] is the RTT of
    the quickest path, which caps of other objectives are relative to.
    """
    rtt = forecast.expected_ms
    match service.objective:
        case Objective.LATENCY:
            link, relay, cap = rtt, RELAY_MS, None
        case Objective.RELIABILITY:
            lost = -1000.0 * np.log1p(-np.clip(forecast.loss_q90, 0.0, 0.999))
            if forecast.learned_lossy is not None:
                lost += -LOSSY * np.log1p(-np.clip(forecast.learned_lossy, 0.0, 0.999))
            link, relay, cap = lost + RELIABILITY_PER_MS * rtt, RELIABILITY_PER_MS * RELAY_MS, None
        case Objective.JITTER:
            link = forecast.jitter_ms + JITTER_PER_RTT * forecast.rtt_q50_ms
            relay, cap = JITTER_PER_RTT * RELAY_MS, np.maximum(1.3 * best_rtt_ms, best_rtt_ms + 20.0)
        case Objective.COST:
            link = price[:, None] + PRICE_PER_MS * rtt
            relay, cap = RELAY_PRICE, np.maximum(2.0 * best_rtt_ms, best_rtt_ms + 50.0)
    bare = link.astype(np.float32)
    bound = service.bound
    if bound.link_loss_ratio is not None:
        lossy = forecast.loss_q90 > bound.link_loss_ratio
        link = link + np.where(lossy, OUT_OF_BOUND * (1.0 + forecast.loss_q90), 0.0)
    if bound.rtt_ms is not None:
        cap = np.minimum(np.inf if cap is None else cap, np.full_like(rtt, bound.rtt_ms))
    direct = np.where(forecast.usable, link, np.inf).astype(np.float32)
    unconfirmed = np.where(forecast.confirmed, 0.0, UNCONFIRMED).astype(np.float32)
    # A path in force is not suspected because one of its nodes has not reported lately.
    suspected = np.where(forecast.alive[:, None] & forecast.alive[None, :], unconfirmed, np.float32(0.0))
    return Costs(
        bare=bare,
        link=direct + unconfirmed,
        kept=direct + suspected,
        direct=direct,
        relay=relay,
        rtt_ms=np.where(forecast.usable, rtt, np.inf).astype(np.float32),
        rtt_cap_ms=None if cap is None else cap.astype(np.float32),
        gain=GAINS[service.objective],
    )
