"""The probability that a link loses more than one percent in the next minutes. Pure.

A linear model of a few facts of each link: whether it is lossy now, for how much of the last minutes and of
the long run it was, and whether its ends are. The weights are learned as horizons pass (ridge regression
towards what is usual); a link without any sample of loss is taken to be clean.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from controller.prediction.outlook import Horizon, solve
from controller.prediction.series import Series
from controller.prediction.state import EPISODE_S
from controller.prediction.statistics import mean_of
from controller.topology.links import F32

LOSSY = 0.01
NOW_S = 30.0
LATELY_S = 300.0
LONG_S = 2 * 3600.0
LONG_SAMPLES = 120
PRIOR_DECISIONS = 2.0
"""What is usual counts as much as so many decisions did."""
REMEMBERED = 0.995
"""What the past counts, from one decision to the next."""


class LossOutlook:
    """The loss of one horizon."""

    def __init__(self, horizon: Horizon) -> None:
        stays = float(np.exp(-horizon.middle_s / EPISODE_S))
        self._prior: NDArray[np.float64] = np.array([0.7 * stays, 0.3 * stays, 0.2, 0.02])
        self.weights = self._prior.copy()
        self._squares = np.zeros((4, 4))
        self._products = np.zeros(4)
        self._open: deque[F32] = deque()

    def expect(self, series: Series) -> tuple[F32, F32]:
        """Return the probability of more than one percent, and the expected ratio, [from, to]."""
        facts = _facts(series)
        lossy = np.clip(facts @ self.weights.astype(np.float32), 0.0, 1.0)
        now = np.nan_to_num(mean_of(series.loss[-series.frames_of(NOW_S) :]))
        lately = np.nan_to_num(mean_of(series.loss[-series.frames_of(LATELY_S) :]))
        return lossy, (0.7 * now + 0.3 * lately).astype(np.float32)

    def promise(self, series: Series) -> None:
        """Note what is known now."""
        self._open.append(_facts(series))

    def forget_promises(self) -> None:
        """Give up what is open; the weights stay."""
        self._open.clear()

    def learn(self, losses: F32) -> None:
        """Take in the loss [frame, from, to] of the horizon of the oldest open promise."""
        facts = self._open.popleft()
        with np.errstate(invalid="ignore"):
            target = mean_of(np.where(np.isnan(losses), np.nan, losses > LOSSY))
        known = np.isfinite(target)
        if not known.any():
            return
        rows = facts[known].astype(np.float64)
        self._squares = REMEMBERED * self._squares + rows.T @ rows / len(rows)
        self._products = REMEMBERED * self._products + rows.T @ target[known] / len(rows)
        ridge = np.diag(PRIOR_DECISIONS * np.maximum(np.diag(self._squares) / self._squares[-1, -1], 1e-3))
        self.weights = solve(self._squares + ridge, self._products + ridge @ self._prior)


def _facts(series: Series) -> F32:
    """Return [from, to, fact]: lossy now, lately, in the long run; and a constant."""
    stride = max(1, series.frames_of(LONG_S) // LONG_SAMPLES)
    windows = (
        series.loss[-series.frames_of(NOW_S) :],
        series.loss[-series.frames_of(LATELY_S) :],
        series.loss[-series.frames_of(LONG_S) :][::stride],
    )
    shares = [np.nan_to_num(mean_of(np.where(np.isnan(w), np.nan, w > LOSSY))) for w in windows]
    return np.stack((*shares, np.ones_like(shares[0])), axis=-1).astype(np.float32)
