"""Whole arrays to and from the codes of a logarithmic scale (`overlayd.protocol.scales`). Pure."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from overlayd.protocol.scales import NOTHING, UNKNOWN, Scale

F32: TypeAlias = NDArray[np.float32]
Codes: TypeAlias = NDArray[np.uint8]

STAY = 0.75
"""A code that was kept is left when the figure is more than this many steps away: noise within a step then
changes nothing, and what does not change takes no room in history.
"""


class Rows:
    """Scales of 8 bits, one for each row of an array."""

    def __init__(self, scales: Sequence[Scale]) -> None:
        self.least = np.array([[scale.least] for scale in scales], np.float32)
        self.step = np.array([[scale.step] for scale in scales], np.float32)
        self.top = np.array([[scale.top] for scale in scales], np.float32)


def encode(values: F32, scale: Scale | Rows, before: Codes | None = None) -> Codes:
    """Return the codes of ``values``; where that of ``before`` is near enough, that one. ``scale`` has 8
    bits.
    """
    least, step = np.float32(scale.least), np.float32(scale.step)
    with np.errstate(invalid="ignore", divide="ignore"):
        exact = np.log(values / least) / step + np.float32(2.0)
        codes = np.clip(np.rint(exact), NOTHING, scale.top)
        codes = np.where(values >= least, codes, np.where(values >= 0.0, NOTHING, UNKNOWN))
        if before is not None:
            near = (np.abs(exact - before) <= STAY) & (before > NOTHING) & (codes > NOTHING)
            codes = np.where(near, before, codes)
    return codes.astype(np.uint8)


def decode(codes: NDArray[np.unsignedinteger], scale: Scale) -> F32:
    """Return the figures of ``codes``; NaN where nothing is known."""
    table = _table(scale)
    return table[np.minimum(codes, len(table) - 1)]


@lru_cache
def _table(scale: Scale) -> F32:
    values = (scale.value(code) for code in range(scale.top + 1))
    return np.array([np.nan if value is None else value for value in values], np.float32)
