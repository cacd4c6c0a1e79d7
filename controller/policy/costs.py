"""Objectives as additive costs of links, so that one search serves all classes. Pure.

Penalties make order, not exclusion: a path outside a bound is worse than any inside, but where nothing else
is left, the least bad one is still found.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from controller.policy.rules import MOST_RELAYS, PLAIN, Policy
from controller.prediction.forecast import Forecast
from controller.topology.links import F32, Bool
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
ASSUMED_BPS = 1e9
LEFT_AT_LEAST = 0.5
"""Throughput: what a link of unknown capacity carries; and which share a newcomer gets of a full one."""
TRANSFER_PER_MS = 0.01
RELAY_TRANSFER = 0.05


@dataclass(frozen=True, slots=True)
class Gain:
    """A path is left for a better one only for more than ``share`` of its cost and more than ``least``; for
    more than ``plenty`` in any case.
    """

    share: float
    least: float
    plenty: float = math.inf

    def worth(self, gain: F32, here: F32) -> Bool:
        """Return where a path that costs ``here`` is left for one that costs ``gain`` less."""
        return ((gain > self.share * here) | (gain > self.plenty)) & (gain > self.least)


GAINS = {
    Objective.LATENCY: Gain(0.10, 5.0, 8.0),
    Objective.RELIABILITY: Gain(0.10, 2.0),
    Objective.JITTER: Gain(0.10, 2.0),
    Objective.COST: Gain(0.10, 0.05),
    Objective.THROUGHPUT: Gain(0.10, 0.2),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a path may have of something besides its cost: the sum of ``link`` along it."""

    link: F32
    most: float


@dataclass(frozen=True, slots=True)
class Costs:
    """The matrices of one class, [from, to]; infinite where a link cannot be used.

    ``direct`` is the cost of a link as the direct path, ``link`` inside a relayed path that would be new,
    ``kept`` inside one that is in force, ``bare`` without any penalty; ``relay`` is added per relay. A path
    whose RTT (``rtt_ms`` summed, and :data:`RELAY_MS` per relay) is above ``rtt_cap_ms`` (of its ends) costs
    :data:`OUT_OF_BOUND` more; so does one above any of ``limits``, or with more than ``most_relays``.

    ``passage`` [node] takes the place of ``relay`` where relays differ: one that is full costs more, one that
    is not to be used infinity.
    """

    bare: F32
    link: F32
    kept: F32
    direct: F32
    relay: float
    rtt_ms: F32
    rtt_cap_ms: F32 | None
    gain: Gain
    passage: F32 | None = None
    limits: tuple[Limit, ...] = ()
    most_relays: int = MOST_RELAYS


def costs_of(
    service: ServiceClass, forecast: Forecast, price: F32, best_rtt_ms: F32, policy: Policy = PLAIN
) -> Costs:
    """Return the costs of a class. ``price`` [node] is per GB sent; ``best_rtt_ms`` [from, to] is the RTT of
    the quickest path, which caps of other objectives are relative to.
    """
    rtt = forecast.expected_ms
    link, relay, cap, crowded = _weighed(service.objective, forecast, price, best_rtt_ms, policy)
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
        link=direct + unconfirmed if crowded is None else direct + unconfirmed + crowded,
        kept=direct + suspected,
        direct=direct,
        relay=relay,
        rtt_ms=np.where(forecast.usable, rtt, np.inf).astype(np.float32),
        rtt_cap_ms=None if cap is None else cap.astype(np.float32),
        gain=_gain(service.objective, policy),
        limits=_limits(policy, forecast, price),
        most_relays=policy.relays,
    )


_Matrix: TypeAlias = NDArray[np.floating[Any]]
_Terms: TypeAlias = tuple[_Matrix, float, _Matrix | None, _Matrix | None]
"""Cost of a link and of a relay; cap on the RTT; what a link costs more for who is not on it yet."""


def _weighed(
    objective: Objective, forecast: Forecast, price: F32, best_rtt_ms: F32, policy: Policy
) -> _Terms:
    rtt = forecast.expected_ms
    match objective:
        case Objective.LATENCY:
            return rtt, RELAY_MS, None, None
        case Objective.RELIABILITY:
            lost = -1000.0 * np.log1p(-np.clip(forecast.loss_q90, 0.0, 0.999))
            if forecast.learned_lossy is not None:
                lost += -LOSSY * np.log1p(-np.clip(forecast.learned_lossy, 0.0, 0.999))
            return lost + RELIABILITY_PER_MS * rtt, RELIABILITY_PER_MS * RELAY_MS, None, None
        case Objective.JITTER:
            link = forecast.jitter_ms + JITTER_PER_RTT * forecast.rtt_q50_ms
            return link, JITTER_PER_RTT * RELAY_MS, np.maximum(1.3 * best_rtt_ms, best_rtt_ms + 20.0), None
        case Objective.COST:
            cap = np.maximum(2.0 * best_rtt_ms, best_rtt_ms + 50.0)
            return price[:, None] + PRICE_PER_MS * rtt, RELAY_PRICE, cap, None
        case Objective.THROUGHPUT:
            alone, beside_others = _transfer_ms(forecast)
            cap = np.maximum(2.0 * best_rtt_ms, best_rtt_ms + 50.0)
            return alone + TRANSFER_PER_MS * rtt, RELAY_TRANSFER, cap, beside_others - alone
        case Objective.WEIGHTED:
            parts = [
                (weight, _weighed(one, forecast, price, best_rtt_ms, PLAIN)) for one, weight in policy.weights
            ]
            link = sum((weight * part[0] for weight, part in parts), np.zeros_like(rtt))
            relay = sum(weight * part[1] for weight, part in parts)
            crowded = [weight * part[3] for weight, part in parts if part[3] is not None]
            return link, relay, None, sum(crowded, np.zeros_like(rtt)) if crowded else None


def _transfer_ms(forecast: Forecast) -> tuple[F32, F32]:
    """Return what a megabit takes on each link: of all it carries, and of what its load leaves.

    A path in force is weighed by the former: the load there may be its own, and a flow that flees itself
    never rests.
    """
    capacity = forecast.capacity_bps
    if capacity is None:
        capacity = np.full_like(forecast.rtt_q50_ms, np.nan)
    carries = np.nan_to_num(capacity, nan=ASSUMED_BPS) * (1.0 - np.clip(forecast.loss_q90, 0.0, 0.9))
    carries = np.maximum(carries, 1.0)
    load = 0.0 if forecast.load_bps is None else np.nan_to_num(forecast.load_bps)
    left = np.maximum(carries - load, LEFT_AT_LEAST * carries)
    return (1e9 / carries).astype(np.float32), (1e9 / left).astype(np.float32)


def _gain(objective: Objective, policy: Policy) -> Gain:
    if objective is not Objective.WEIGHTED:
        return GAINS[objective]
    parts = [(weight, GAINS[one]) for one, weight in policy.weights]
    return Gain(max(part.share for _, part in parts), max(weight * part.least for weight, part in parts))


def _limits(policy: Policy, forecast: Forecast, price: F32) -> tuple[Limit, ...]:
    limits: list[Limit] = []
    if policy.loss_ratio is not None:
        lost = -np.log1p(-np.clip(np.nan_to_num(forecast.loss_q90), 0.0, 0.999))
        limits.append(Limit(lost.astype(np.float32), -math.log1p(-policy.loss_ratio)))
    if policy.price_per_gb is not None:
        each = np.broadcast_to(price[:, None], forecast.loss_q90.shape)
        limits.append(Limit(np.ascontiguousarray(each), policy.price_per_gb))
    return tuple(limits)
