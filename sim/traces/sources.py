"""Where bases and ratios come from: measured sets in `$OVERLAYD_DATA`, or distributions like theirs.

A base is the RTT of a pair when nothing happens, a ratio what a sample is in units of it. The sets are
PlanetLab's all pairs (`planetlab490.npz`) and series of RIPE Atlas probes (`atlas50.npz`).
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controller.topology.links import F32

VARIABLE = "OVERLAYD_DATA"
MOST_RATIO = 5.0
POOL = 2000
"""Ratios kept of each series."""


@dataclass(frozen=True, slots=True)
class Sources:
    """``base_ms`` [node, node], symmetric, NaN on the diagonal; ``ratios`` [series, sample] about 1."""

    base_ms: F32
    ratios: F32
    measured: bool


def find(directory: str | None = None) -> Sources:
    """Return measured sources from ``directory`` or `$OVERLAYD_DATA`; without them, built-in ones."""
    where = directory or os.environ.get(VARIABLE)
    if where and (Path(where) / "planetlab490.npz").exists() and (Path(where) / "atlas50.npz").exists():
        return _measured(Path(where))
    return built_in()


def built_in(nodes: int = 400, seed: int = 7) -> Sources:
    """Return sources drawn from distributions: nodes in a few regions of a sphere, fibre detours, and
    ratios of gamma-distributed queueing.
    """
    random = np.random.default_rng(seed)
    regions = random.normal(size=(12, 3))
    at = regions[random.integers(0, 12, nodes)] + random.normal(scale=0.15, size=(nodes, 3))
    at /= np.linalg.norm(at, axis=1, keepdims=True)
    angle = np.arccos(np.clip(at @ at.T, -1.0, 1.0))
    detour = np.exp(np.abs(random.normal(0.35, 0.3, (nodes, nodes))))
    access = random.gamma(1.5, 1.5, nodes)
    base = angle * 64.0 * np.triu(detour, 1) + np.triu(access[:, None] + access[None, :], 1) + 1.0
    base = np.triu(base, 1)
    base = base + base.T
    np.fill_diagonal(base, np.nan)
    width = np.exp(random.normal(-3.5, 1.0, (50, 1)))
    ratios = 1.0 + width * (random.gamma(0.7, 1.0, (50, POOL)) - 0.4)
    return Sources(base.astype(np.float32), np.clip(ratios, 0.8, MOST_RATIO).astype(np.float32), False)


def _measured(where: Path) -> Sources:
    with np.load(where / "planetlab490.npz") as file:
        rtt = np.where(file["rtt_ms"] > 0.0, file["rtt_ms"], np.nan)
        complete = ~np.isnan(rtt).all(axis=0)
        base = np.where(complete, np.nanmedian(np.where(complete, rtt, 0.0), axis=0), np.nan)
    np.fill_diagonal(base, np.nan)
    ratios: list[F32] = []
    with np.load(where / "atlas50.npz") as file:
        for name in sorted(file):
            if name.endswith("_rtt_ms"):
                series = file[name].astype(np.float32)
                series = series[(series > 0.0) & (series < 1000.0)]
                ratios.append(_ratios(series))
    return Sources(base.astype(np.float32), np.stack(ratios), True)


def _ratios(series: F32) -> F32:
    """Return samples in units of their neighbourhood's median (two hours, 30 samples)."""
    blocks = series[: len(series) // 30 * 30].reshape(-1, 30)
    ratios = (blocks / np.median(blocks, axis=1, keepdims=True)).ravel()
    return np.resize(np.clip(ratios, 0.5, MOST_RATIO), POOL).astype(np.float32)
