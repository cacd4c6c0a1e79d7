"""When to try again after the controller was lost. Pure: randomness is handed in.

All nodes of a network lose it at once and want back at once: tries are spread (full jitter), ever wider.
"""

import random

LONGEST_S = 60.0
STABLE_S = 60.0
"""A connection that held so long was none of the failures in a row."""


class Retry:
    """Failures in a row, and how long to wait after the last. The first wait is up to ``spread_s``."""

    def __init__(self, spread_s: float, rng: random.Random) -> None:
        self._spread_s = spread_s
        self._rng = rng
        self._failures = 0

    def wait_s(self, held_s: float) -> float:
        """Return how long to wait after a connection that held ``held_s`` (0: there was none)."""
        self._failures = 0 if held_s >= STABLE_S else self._failures + 1
        return self._rng.uniform(0, min(self._spread_s * 2 ** min(self._failures, 16), LONGEST_S))
