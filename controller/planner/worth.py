"""What leaving a path for another is worth, where it is known what is an episode and what lasts. Pure.

A gain that lies in what links are like while nothing happens is kept for hours, one that an episode makes
only as long as that. So the lasting part counts twice: for as many changed routes that cuts more of the RTT
than a margin on the sum does (`docs/evaluation.md`).
"""

import numpy as np

from controller.planner.search import Paths, Relays, path_sum
from controller.policy.costs import RELAY_MS
from controller.topology.links import F32, Bool

WORTH_MS = 14.0
"""A path is left for one whose gain, and lasting gain once more, make up this."""
LEAST_MS = 1.0
HOME_MS = 5.0
"""A relayed path that is so much worse than the direct one is left in any case."""
LEAST_TRUST = 0.1
"""Below, no promise of a relayed path is believed, nor kept to."""


def worth(
    base_ms: F32, trust: float, before: Relays, ideal: Paths, here: F32, straight: F32
) -> tuple[Bool, Bool]:
    """Return [from, to] where the path ``before``, that costs ``here`` ms, is to be left for the ideal one,
    and where for the direct one, that costs ``straight`` ms.
    """
    with np.errstate(invalid="ignore"):
        gain = here - ideal.cost
        lasting = path_sum(base_ms, base_ms, before, RELAY_MS)
        lasting = np.nan_to_num(lasting - path_sum(base_ms, base_ms, ideal.relays, RELAY_MS))
        enough = (trust * (gain + lasting) > WORTH_MS) & (trust * gain > LEAST_MS)
        worse = here > straight + HOME_MS
    if trust < LEAST_TRUST:
        return np.zeros_like(worse), np.ones_like(worse)
    return enough | worse, worse
