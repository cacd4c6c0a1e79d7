"""How long to wait before the next start of what ended or did not start. Pure; randomness is passed in."""

from collections.abc import Callable
from typing import TypeAlias

S = 1_000_000_000
FIRST_NS = 1 * S
LAST_NS = 300 * S
"""For what ended: as long as Kubernetes waits."""
LAST_START_NS = 15 * S
"""For what could not be started: an address or a file that comes is not missed for long."""
WELL_AFTER_NS = 600 * S
"""What has run for so long begins anew."""
SPREAD = 0.1
"""Of the wait, so that what failed together does not come back together for ever."""


Uniform: TypeAlias = Callable[[float, float], float]
"""A random number between two, as `random.Random.uniform`."""


class BackOff:
    """Of one container. The first wait is :data:`FIRST_NS`, each further one twice that."""

    def __init__(self, uniform: Uniform) -> None:
        self._uniform = uniform
        self._failures = 0

    def after_run(self, ran_ns: int) -> int:
        """Return the wait after a run of ``ran_ns``."""
        if ran_ns >= WELL_AFTER_NS:
            self._failures = 0
        return self._next(LAST_NS)

    def after_failed_start(self, longest_ns: int = LAST_START_NS) -> int:
        """Return the wait after a start that failed."""
        return self._next(longest_ns)

    def reset(self) -> None:
        """Begin anew: what runs next is something else."""
        self._failures = 0

    def _next(self, longest_ns: int) -> int:
        wait_ns = min(FIRST_NS << min(self._failures, 32), longest_ns)
        self._failures += 1
        return round(wait_ns * self._uniform(1 - SPREAD, 1 + SPREAD))
