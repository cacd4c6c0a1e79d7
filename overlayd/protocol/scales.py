"""Logarithmic scales: a figure of a link as a small number, with the same relative error everywhere.

Code 0 is "not known", 1 "nothing" (zero, or less than the scale can tell), 2 and above are
``least · e^(step · (code − 2))``. An error of half a step is left. Telemetry travels so
(`overlayd.protocol.compact`) and history is kept so (`controller.topology.frames`). Pure.
"""

import math
from dataclasses import dataclass

UNKNOWN = 0
NOTHING = 1
_FIRST = 2


@dataclass(frozen=True, slots=True)
class Scale:
    """``least`` is the smallest figure that is told from nothing, ``step`` the relative distance of
    neighbours, ``top`` the largest code.
    """

    least: float
    step: float
    top: int

    def code(self, value: float | None) -> int:
        """Return the code of a figure; what no figure can be (negative, NaN) is not known."""
        if value is None or not value >= 0.0:
            return UNKNOWN
        if value < self.least:
            return NOTHING
        if value == math.inf:
            return self.top
        return min(_FIRST + round(math.log(value / self.least) / self.step), self.top)

    def value(self, code: int) -> float | None:
        """Return the figure of a code; None for :data:`UNKNOWN`."""
        if code == UNKNOWN:
            return None
        return 0.0 if code == NOTHING else self.least * math.exp(self.step * (code - _FIRST))


FINE_DELAY_MS = Scale(0.001, 0.004, 4500)
FINE_RATIO = Scale(1e-5, 0.01, 1160)
FINE_RATE_BPS = Scale(1000.0, 0.02, 1200)
"""16 bits, for what is decided on: errors of 0.2 %, 0.5 % and 1 %."""

COARSE_DELAY_MS = Scale(0.02, 0.055, 255)
COARSE_SPREAD_MS = Scale(0.02, 0.25, 64)
COARSE_RATIO = Scale(1e-4, 0.0366, 255)
COARSE_RATE_BPS = Scale(1000.0, 0.074, 255)
"""8 bits, for history: errors of 3, 12, 2 and 4 %, delays up to 22 s, rates up to 135 Gbit/s. The spread of
delays is itself so noisy that finer steps would only keep the noise.
"""
