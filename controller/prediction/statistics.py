"""Statistics over samples of which some are missing (NaN). Pure."""

import numpy as np

from controller.topology.links import F32

LEAST_LINKS = 3
"""What fewer links of a node have in common is no property of the node."""
MOST_UNSORTED = 16
SECOND_FROM = 7
"""From so many samples on, and up to so many, the second greatest is nearest to their 0.9 quantile."""
PEERS = 64
"""So many peers of a node, evenly out of all, say what its links have in common."""


def quantiles_of(samples: F32, shares: tuple[float, ...]) -> tuple[F32, ...]:
    """Return quantiles over the first axis of what is no NaN (the nearest sample); NaN where nothing is."""
    ordered = np.sort(samples, axis=0)
    number = (~np.isnan(samples)).sum(axis=0)
    last = np.maximum(number - 1, 0)
    return tuple(
        np.take_along_axis(ordered, (share * last + 0.5).astype(np.intp)[None], axis=0)[0] for share in shares
    )


def upper_of(samples: F32) -> F32:
    """Return the 0.9 quantile as :func:`quantiles_of` does, of up to 16 samples, and without sorting them."""
    if len(samples) > MOST_UNSORTED:
        raise ValueError(f"{len(samples)} samples: more than {MOST_UNSORTED}")
    shape = samples.shape[1:]
    greatest, second = np.full((2, *shape), -np.inf, np.float32)
    number = np.zeros(shape, np.intp)
    for sample in samples:
        known = ~np.isnan(sample)
        value = np.where(known, sample, -np.inf)
        second = np.maximum(second, np.minimum(greatest, value))
        greatest = np.maximum(greatest, value)
        number += known
    found = np.where(number < SECOND_FROM, greatest, second)
    return np.where(number > 0, found, np.nan).astype(np.float32)


def mean_of(samples: F32) -> F32:
    """Return the mean over the first axis of what is no NaN; NaN where nothing is."""
    known = ~np.isnan(samples)
    with np.errstate(invalid="ignore"):
        total = np.where(known, samples, 0.0).sum(axis=0, dtype=np.float64)
        return (total / known.sum(axis=0)).astype(np.float32)


def at_ends(ends: F32) -> F32:
    """Return for each link [..., from, to] the sum of what its two ends have."""
    return ends[..., :, None] + ends[..., None, :]


def ends_of(above: F32) -> F32:
    """Return for each frame and node what most of its links have in common (both directions, two passes of
    medians). ``above`` is [frame, from, to].
    """
    n = above.shape[1]
    own = above.copy()
    own[:, np.arange(n), np.arange(n)] = np.nan
    few = min(n, PEERS)
    peers = np.arange(few, dtype=np.intp) * n // max(1, few)
    outward, inward = own[:, :, peers], np.swapaxes(own[:, peers, :], 1, 2)
    first = _median(np.concatenate((outward, inward), axis=2))
    others = first[:, None, peers]
    return _median(np.concatenate((outward - others, inward - others), axis=2))


def _median(links: F32) -> F32:
    """Return the lower median over the last axis of what is no NaN; 0 where it is of too few."""
    if not links.size:
        return np.zeros(links.shape[:-1], np.float32)
    number = (~np.isnan(links)).sum(axis=-1)
    middle = np.maximum(number - 1, 0) // 2
    median = np.take_along_axis(np.sort(links, axis=-1), middle[..., None], axis=-1)[..., 0]
    return np.where(number >= LEAST_LINKS, np.nan_to_num(median), 0.0).astype(np.float32)
