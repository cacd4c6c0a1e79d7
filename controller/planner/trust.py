"""How much of what was promised is kept: predicted gains of relayed paths against what they came to. Pure.

The best of many candidates was lucky, too: its promise is too good. By how much depends on the mesh (nothing
is kept on noisy access links, nearly all between servers), so it is measured: for all pairs whose best path
is relayed, taken or not, the gain over direct that was predicted is compared with what the horizon brought.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from controller.planner.search import NONE, Relays, path_sum
from controller.policy.costs import RELAY_MS
from controller.topology.links import F32

DOUBT = 0.5
"""As if a part of a horizon had kept nothing."""
LEAST_HORIZONS = 0.9
"""Nothing is believed before so many horizons, that have nothing in common, came due."""
SPREAD = 0.2
"""What one horizon's share is taken to stray, before others say."""
REMEMBERED = 0.95
"""What the past counts, from one horizon to the next."""
LEAST_MS = 2.0
MOST_MS = 300.0
WORST_MS = 3000.0
"""Promises below the first are not weighed; gains count up to the second, losses up to the third."""


@dataclass(frozen=True, slots=True)
class _Promise:
    relays: Relays
    gain_ms: F32


class Trust:
    """``share`` [0..1] of a predicted gain is what experience lets expect: what was kept on average, less
    its standard error.
    """

    def __init__(self) -> None:
        self.share = 0.0
        self._kept = 0.0
        self._squares = SPREAD * SPREAD
        self._weight = 0.0
        self._open: deque[_Promise] = deque()

    def promise(self, relays: Relays, expected_ms: F32) -> None:
        """Note the best path of each pair and what is expected of all links."""
        with np.errstate(invalid="ignore"):
            gain = expected_ms - path_sum(expected_ms, expected_ms, relays, RELAY_MS)
        self._open.append(_Promise(relays, np.where(relays[..., 0] > NONE, gain, np.float32(np.nan))))

    def forget_promises(self) -> None:
        """Give up what is open; the share stays."""
        self._open.clear()

    def learn(self, paid_ms: F32, news: float = 1.0) -> None:
        """Take in what the links came to in the horizon of the oldest open promise, [from, to] ms. ``news``
        (0..1) is the part of that horizon which no earlier one had.
        """
        promise = self._open.popleft()
        with np.errstate(invalid="ignore"):
            kept = paid_ms - path_sum(paid_ms, paid_ms, promise.relays, RELAY_MS)
            counts = np.isfinite(kept) & (promise.gain_ms > LEAST_MS)
        if not counts.any():
            return
        gain = np.minimum(promise.gain_ms[counts], MOST_MS).astype(np.float64)
        slope = float((gain * np.clip(kept[counts], -WORST_MS, MOST_MS)).sum() / (gain * gain).sum())
        past = REMEMBERED**news
        before = self._kept / self._weight if self._weight else slope
        self._kept = past * self._kept + news * slope
        self._squares = past * self._squares + news * (slope - before) ** 2
        self._weight = past * self._weight + news
        if self._weight < LEAST_HORIZONS:
            return
        error = math.sqrt(self._squares / self._weight / (self._weight + 1.0))
        self.share = min(1.0, max(0.0, self._kept / (self._weight + DOUBT) - error))
