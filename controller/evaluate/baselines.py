"""Cheap ways to choose, for comparison: each sees the same samples as the product and keeps no secrets. Pure.

They choose by the policy's own measure: RTT for ``latency``; for ``reliability`` loss first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from controller.evaluate.search import cheapest
from controller.planner.search import ABSENT, NONE, Relays, path_sum
from controller.prediction.series import Series
from controller.prediction.statistics import quantiles_of
from controller.topology.links import F32

ROLLING_S = 600.0
LONG_S = 6 * 3600.0
LONG_SAMPLES = 240
MARGIN = 0.10
SHARE = 0.8
LOSS_MS = 1000.0
"""Beside a ms under ``reliability``, an e-fold of loss weighs so many times a hundred."""


def direct(nodes: int) -> Relays:
    """Return the direct path of every pair."""
    return np.full((nodes, nodes, 2), NONE, np.int16)


def latest(series: Series, alive: np.ndarray) -> tuple[F32, F32]:
    """Return the last samples, RTT and loss."""
    return _of_living(series.rtt_ms[-1], alive), series.loss[-1]


def rolling_q80(series: Series, alive: np.ndarray) -> tuple[F32, F32]:
    """Return the 80th percentile of ten minutes."""
    frames = series.frames_of(ROLLING_S)
    return _quantile(series, alive, frames, 1)


def long_q80(series: Series, alive: np.ndarray) -> tuple[F32, F32]:
    """Return the 80th percentile of six hours."""
    frames = min(len(series), series.frames_of(LONG_S))
    return _quantile(series, alive, frames, max(1, frames // LONG_SAMPLES))


@dataclass(slots=True)
class Chooser:
    """Takes the cheapest path by ``estimate``; leaves the one it has only for ``margin`` less."""

    estimate: Callable[[Series, np.ndarray], tuple[F32, F32]]
    relay_cost_ms: float
    margin: float = 0.0
    every: int = 1
    """So many decisions are made with one estimate (a long quantile moves slowly)."""
    _relays: Relays | None = None
    _estimate: tuple[F32, F32] | None = None
    _asked: int = field(default=0)

    def choose(self, series: Series, alive: np.ndarray, by_loss: bool) -> Relays:
        """Return the routes of one decision."""
        if self._estimate is None or self._asked % self.every == 0:
            self._estimate = self.estimate(series, alive)
        self._asked += 1
        cost, relay = measure(*self._estimate, self.relay_cost_ms, by_loss)
        cost[~alive] = np.nan
        cost[:, ~alive] = np.nan
        best, relays = cheapest(cost, relay)
        relays = np.where((relays[..., :1] == ABSENT), np.int16(NONE), relays)
        if self.margin and self._relays is not None:
            here = path_sum(cost, cost, self._relays, relay)
            here = np.where(np.isnan(here), np.inf, here)
            moves = best < (1.0 - self.margin) * here
            relays = np.where(moves[..., None], relays, self._relays)
        elif self.margin:
            moves = best < (1.0 - self.margin) * np.where(np.isnan(cost), np.inf, cost)
            relays = np.where(moves[..., None], relays, direct(len(cost)))
        self._relays = relays
        return relays


def measure(rtt_ms: F32, loss: F32, relay_cost_ms: float, by_loss: bool) -> tuple[F32, float]:
    """Return the additive cost of links and of a relay."""
    if not by_loss:
        return rtt_ms.copy(), relay_cost_ms
    lost = -100.0 * LOSS_MS * np.log1p(-np.clip(np.nan_to_num(loss), 0.0, 0.999))
    return (rtt_ms + lost).astype(np.float32), relay_cost_ms


def _quantile(series: Series, alive: np.ndarray, frames: int, stride: int) -> tuple[F32, F32]:
    (rtt,) = quantiles_of(series.rtt_ms[-frames:][::stride], (SHARE,))
    (loss,) = quantiles_of(series.loss[-frames:][::stride], (SHARE,))
    return _of_living(rtt, alive), loss


def _of_living(rtt: F32, alive: np.ndarray) -> F32:
    rtt = rtt.copy()
    rtt[~alive] = np.nan
    rtt[:, ~alive] = np.nan
    return rtt
