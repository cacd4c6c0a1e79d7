"""The upper tail of what a horizon may come to, as each link has been best told of it. Pure.

A calibrated quantile spreads around what is expected by what the past hours were like, which a shift of the
level outdates; the greatest of a few recent samples follows the shift, but knows little. Each link weighs
them by what they cost it lately, so that it pays little more than by whichever of them suits it (forecasters
with exponential weights: Cesa-Bianchi and Lugosi, *Prediction, Learning, and Games*, 2006, chapter 2).
"""

import numpy as np

from controller.prediction.statistics import upper_of
from controller.topology.links import F32

SHARE = 0.9
WINDOWS = (5, 15)
"""Frames of which the :data:`SHARE` quantile is told as well."""
HALF_LIFE = 50
"""Horizons after which what one cost counts half."""
SHARPNESS = 5.0
"""One that cost twice as much as the best has this many nats less weight."""
BEFOREHAND_MS = (0.5, 1.0, 1.0)
"""What they count as having cost before anything is known: the calibrated one is believed."""
LEAST_MS = 0.001
"""Less is not told apart."""


class Tail:
    """``costs_ms`` is [teller, from, to]: the pinball loss of late, of the calibrated quantile and of each of
    :data:`WINDOWS`.
    """

    def __init__(self, nodes: int) -> None:
        self.costs_ms = _beforehand(nodes)

    def quantile(self, calibrated_ms: F32, samples_ms: F32) -> F32:
        """Return the :data:`SHARE` quantile, [from, to] ms.

        ``samples_ms`` is [frame, from, to], the newest last, NaN where there is none.
        """
        least = self.costs_ms.min(axis=0)
        worse = (self.costs_ms - least) / np.maximum(least, LEAST_MS)
        weights = np.exp(-SHARPNESS * worse)
        weights /= weights.sum(axis=0)
        return np.einsum("kij,kij->ij", weights, _told(calibrated_ms, samples_ms), dtype=np.float32)

    def learn(self, paid_ms: F32, calibrated_ms: F32, samples_ms: F32) -> None:
        """Take in what a horizon came to that followed ``samples_ms``; NaN where that is not known."""
        self.costs_ms *= np.float32(0.5 ** (1 / HALF_LIFE))
        short = paid_ms - _told(calibrated_ms, samples_ms)
        self.costs_ms += np.nan_to_num(np.maximum(SHARE * short, (SHARE - 1.0) * short))

    def grow(self, nodes: int) -> None:
        """Nodes were added behind those there are."""
        known = self.costs_ms
        self.costs_ms = _beforehand(nodes)
        self.costs_ms[:, : known.shape[1], : known.shape[2]] = known

    def shrink(self, index: int) -> None:
        """The node at ``index`` is gone; later ones move down."""
        self.costs_ms = np.delete(np.delete(self.costs_ms, index, 1), index, 2)


def _beforehand(nodes: int) -> F32:
    costs_ms = np.asarray(BEFOREHAND_MS, np.float32)
    return np.broadcast_to(costs_ms[:, None, None], (len(costs_ms), nodes, nodes)).copy()


def _told(calibrated_ms: F32, samples_ms: F32) -> F32:
    """Return what each teller says, the calibrated quantile where a window has no sample."""
    recent = [upper_of(samples_ms[-length:]) for length in WINDOWS]
    said = (np.where(np.isnan(told), calibrated_ms, told) for told in recent)
    return np.stack((calibrated_ms, *said))
