"""How many shards the engine of this host has, and how long they may stay awake.

As configured, or about half of the cores that it may use: sender, receiver and the kernel's own work want the
others. Who has no core to spare sleeps. Called by `overlayd.daemon.engine`. I/O: reads the CPU set and the
cgroup's quota.
"""

import math
import os
from pathlib import Path

from overlayd.daemon.config import Configuration
from overlayd.model.node import MAX_SHARDS

_SPIN_US = 3000
"""Longer than the pauses of what is felt: a request after an answer, at some hundred a second."""
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def count(configuration: Configuration) -> int:
    """Return the number of shards: at least one, and no more than there are ports for."""
    wanted = configuration.engine.shards
    if wanted != "auto":
        return wanted
    half = math.floor(usable_cpus() / 2)
    return max(1, min(half, MAX_SHARDS, configuration.room_for_shards))


def spin_us(configuration: Configuration) -> int:
    """Return how long a shard stays awake after a packet, in microseconds; 0: it does not."""
    wanted = configuration.engine.spin_us
    if wanted != "auto":
        return wanted
    return _SPIN_US if usable_cpus() >= 2 else 0


def usable_cpus(own: Path = _OWN_CGROUP, cgroups: Path = _CGROUPS) -> float:
    """Return how many cores this process may use: those of its CPU set, or less by a quota above it."""
    usable = float(len(os.sched_getaffinity(0)))
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return usable
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if path is None:
        return usable  # cgroup v1: no quota is looked for
    here = cgroups / path.lstrip("/")
    for directory in (here, *here.parents):
        if not directory.is_relative_to(cgroups):
            break
        usable = min(usable, _quota(directory / "cpu.max"))
    return usable


def _quota(file: Path) -> float:
    """Cores that ``cpu.max`` (``"150000 100000"``, ``"max 100000"``) allows."""
    try:
        quota, period = file.read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf
