"""How full instances are: the processor time that they take of what limits allow. I/O: the kernel's files.

Only what has a limit and a control group of its own can be full. Called by `overlayd.workload.unit`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from overlayd.workload.messages import RunId

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limited:
    """A run with a limit of ``cpu_milli``; ``pid`` is of its process, ``marks`` stand in its group's name."""

    id: RunId
    attempt: int
    cpu_milli: int
    pid: int
    marks: tuple[str, ...]


@dataclass(slots=True)
class Fullness:
    """Compares what runs have taken now and the last time."""

    _taken: dict[tuple[RunId, int], tuple[int, int]] = field(
        default_factory=dict[tuple[RunId, int], tuple[int, int]]
    )

    def of(self, limited: Iterable[Limited], now_ns: int) -> dict[str, float]:
        """Return by pod's uid the part of its limit that its fullest container took since the last time."""
        before, self._taken = self._taken, {}
        found: dict[str, float] = {}
        for one in limited:
            taken_ns = cpu_ns(one.pid, one.marks)
            if taken_ns is None:
                continue
            self._taken[one.id, one.attempt] = (now_ns, taken_ns)
            then_ns, had_ns = before.get((one.id, one.attempt), (now_ns, taken_ns))
            if now_ns > then_ns:
                part = (taken_ns - had_ns) / (now_ns - then_ns) / (one.cpu_milli / 1000)
                found[one.id.uid] = max(found.get(one.id.uid, 0.0), part)
        return found


def cpu_ns(pid: int, marks: Iterable[str], proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Return the processor time that the group of ``pid`` has taken; None: it has ended, or its group has
    none of ``marks`` in its name.
    """
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not any(mark and mark in path for mark in marks):
            continue
        try:
            if not controllers:
                told = (cgroups / path.lstrip("/") / "cpu.stat").read_text().split()
                return int(told[told.index("usage_usec") + 1]) * 1000
            if "cpuacct" in controllers.split(","):
                return int((cgroups / "cpuacct" / path.lstrip("/") / "cpuacct.usage").read_text())
        except (OSError, ValueError):
            continue  # it has no such controller, or has ended
    return None
