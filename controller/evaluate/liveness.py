"""Which nodes of a trace are alive: the stand-in for agents that report. Pure.

A file repeats the last values of a node that is gone. A node is taken to be dead when none of its links has
changed for clearly longer than ever before; no later than a sample counts as stale.
"""

import numpy as np

from controller.evaluate.trace import STALE_FRAMES
from controller.topology.links import F32, Bool

PATIENCE = 3
LONGER = 2


class Liveness:
    """Fed with every frame in order, fresh samples only."""

    def __init__(self, nodes: int) -> None:
        self._last: F32 | None = None
        self._quiet = np.zeros(nodes, np.int64)
        self._longest = np.full(nodes, -1, np.int64)

    def observe(self, rtt_ms: F32) -> Bool:
        """Return which nodes are alive as of this frame."""
        known = ~np.isnan(rtt_ms)
        first = self._last is None
        last = np.full_like(rtt_ms, np.nan) if self._last is None else self._last
        # What comes back as it was is no sign of life: links between two dead nodes do.
        moved = known & (rtt_ms != last)
        stirs = moved.any(axis=0) | moved.any(axis=1)
        self._last = np.where(known, rtt_ms, last)
        if not first:
            self._longest = np.where(stirs, np.maximum(self._longest, self._quiet), self._longest)
        self._quiet = np.where(stirs, 0, self._quiet + 1)
        limit = np.where(self._longest < 0, STALE_FRAMES, PATIENCE + LONGER * self._longest)
        there = known.any(axis=0) | known.any(axis=1)
        someone = bool(stirs.any())
        silent = (self._quiet > np.minimum(limit, STALE_FRAMES)) & someone
        return there & ~silent
