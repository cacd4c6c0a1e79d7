"""What the strongest common factors of all links say of each one. Pure."""

import numpy as np

from controller.topology.links import F32

RANK = 6
NODES_PER_RANK = 8


def pattern_of(mean_ms: F32) -> F32:
    """Return what a low rank lets expect of each link's mean, ms.

    Logarithms, so that the far does not outweigh the near; what is missing begins as the sum of its ends.
    """
    n = len(mean_ms)
    known = ~np.isnan(mean_ms) & ~np.eye(n, dtype=np.bool_)
    rank = min(RANK, n // NODES_PER_RANK)
    if rank < 1 or not known.any():
        return mean_ms.copy()
    log = np.log(np.where(known, np.maximum(mean_ms, 0.1), 1.0)).astype(np.float64)
    overall = log[known].mean()
    rows = np.where(known, log - overall, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    columns = np.where(known, log - overall, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    additive = overall + rows[:, None] + columns[None, :]
    u, s, v = np.linalg.svd(np.where(known, log - additive, 0.0))
    smooth = additive + (u[:, :rank] * s[:rank]) @ v[:rank]
    return np.exp(np.clip(smooth, -2.0, 11.0)).astype(np.float32)
