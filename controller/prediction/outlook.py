"""What state and profile say of the next minutes: weights learned as promises come due. Pure.

The expected RTT is the base and a weighted sum of features (`state.FEATURES`), the weights by ridge
regression towards what is usual for the horizon. It learns from every decision whose horizon has passed, and
forgets slowly; with no history at all it is the prior.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.prediction.state import EPISODE_S, FEATURES
from controller.topology.links import F32

F64 = NDArray[np.float64]

PRIOR_HORIZONS = 7.0
"""What is usual counts as much as so many horizons did that have nothing in common. Few episodes begin and
end in an hour: weights that follow them closely stagger, and routes with them.
"""
REMEMBERED = 0.985
"""What the past counts, from one horizon to the next."""
OUTLIER_MS = 500.0


@dataclass(frozen=True, slots=True)
class Horizon:
    """Frames ahead, both inclusive, and the frames' length in seconds."""

    first: int
    last: int
    frame_s: float

    @property
    def middle_s(self) -> float:
        return (self.first + self.last) / 2.0 * self.frame_s

    def news(self, frames: int) -> float:
        """Return what a horizon is worth as evidence that begins so many frames after the one before: they
        overlap.
        """
        return min(1.0, frames / (self.last - self.first + 1))


@dataclass(frozen=True, slots=True)
class _Promise:
    frame: int
    features: F32
    base_ms: F32


class Outlook:
    """The expected RTT of one horizon. ``weights`` are those of the features, and a constant last."""

    def __init__(self, horizon: Horizon) -> None:
        self.horizon = horizon
        stays = float(np.exp(-horizon.middle_s / EPISODE_S))
        gone = 1.0 - stays
        self._prior: F64 = np.array([stays, 1.0, stays * 0.9, 1.0, 0.2, gone, gone, 0.0, 0.0, 0.0])
        assert len(self._prior) == len(FEATURES) + 1
        self._squares: F64 = np.zeros((len(self._prior), len(self._prior)))
        self._products: F64 = np.zeros(len(self._prior))
        self.weights: F64 = self._prior.copy()
        self._open: deque[_Promise] = deque()
        self._learned = -horizon.last

    def expect(self, features: F32, base_ms: F32) -> F32:
        """Return the expected mean RTT of the horizon, [from, to] ms; NaN where there is no base."""
        weights = self.weights.astype(np.float32)
        return np.maximum(base_ms + features @ weights[:-1] + weights[-1], np.float32(0.1))

    def promise(self, frame: int, features: F32, base_ms: F32) -> None:
        """Note what was known at ``frame``, to learn from once its horizon has passed."""
        self._open.append(_Promise(frame, features, base_ms))

    def due(self, frame: int) -> list[int]:
        """Return the frames of the promises whose horizon has passed at ``frame``."""
        return [p.frame for p in self._open if p.frame + self.horizon.last <= frame]

    def forget_promises(self) -> None:
        """Give up what is open; the weights stay."""
        self._open.clear()

    def learn(self, paid_ms: F32) -> None:
        """Take in what the horizon of the oldest open promise came to, and renew the weights."""
        promise = self._open.popleft()
        news = self.horizon.news(promise.frame - self._learned)
        self._learned = promise.frame
        with np.errstate(invalid="ignore"):
            target = np.clip(paid_ms - promise.base_ms, -OUTLIER_MS, OUTLIER_MS)
        known = np.isfinite(target)
        if not known.any():
            return
        rows = np.column_stack((promise.features[known], np.ones(int(known.sum())))).astype(np.float64)
        share, kept = news / len(rows), REMEMBERED**news
        self._squares = kept * self._squares + rows.T @ rows * share
        self._products = kept * self._products + rows.T @ target[known] * share
        usual = np.maximum(np.diag(self._squares) / self._squares[-1, -1], 1.0)
        ridge = np.diag(PRIOR_HORIZONS * usual)
        self.weights = solve(self._squares + ridge, self._products + ridge @ self._prior)


def solve(squares: F64, products: F64) -> F64:
    """Return the weights of a regression from its normal equations."""
    return np.linalg.solve(squares, products).astype(np.float64)
