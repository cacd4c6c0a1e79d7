"""How far the horizon's mean RTT strays from what was expected: calibrated quantiles. Pure.

What went wrong with past forecasts, in units of each link's own variation, is the distribution of what will
(split conformal prediction over the last decisions). Links differ in scale; the shape is shared by all.
"""

from collections import deque

import numpy as np

from controller.prediction.state import Profile
from controller.topology.links import F32

SHARES = (0.5, 0.8, 0.9)
USUAL = (0.0, 0.7, 1.2)
"""Quantiles in units of the scale while there is nothing to learn from."""
LEAST_MS = 0.5
EPISODE_SHARE = 0.3
BASE_SHARE = 0.005
DECISIONS = 40
SAMPLES = 2000
"""Errors kept of each of the last decisions."""


class Spread:
    """``units`` are the quantiles of :data:`SHARES`, in units of the scale."""

    def __init__(self) -> None:
        self.units: tuple[float, ...] = USUAL
        self._errors: deque[F32] = deque(maxlen=DECISIONS)

    def quantiles(self, expected_ms: F32, scale_ms: F32) -> tuple[F32, ...]:
        """Return the quantiles of :data:`SHARES`, [from, to] ms."""
        return tuple((expected_ms + unit * scale_ms).astype(np.float32) for unit in self.units)

    def learn(self, paid_ms: F32, expected_ms: F32, scale_ms: F32) -> None:
        """Take in what a horizon came to."""
        with np.errstate(invalid="ignore"):
            errors = (paid_ms - expected_ms) / scale_ms
        errors = errors[np.isfinite(errors)]
        if not len(errors):
            return
        self._errors.append(errors[:: max(1, len(errors) // SAMPLES)].astype(np.float32))
        seen = np.concatenate(self._errors)
        self.units = tuple(float(q) for q in np.quantile(seen, SHARES))


def scale_of(profile: Profile, features: F32) -> F32:
    """Return each link's own variation, ms: of its samples, a share of its base, and a share of the episode
    it is in.
    """
    spread = np.nan_to_num(profile.spread_ms) + BASE_SHARE * np.nan_to_num(profile.base_ms)
    episode = np.abs(features[..., :4]).sum(axis=-1)
    return np.maximum(spread + EPISODE_SHARE * episode, LEAST_MS).astype(np.float32)
