"""Limits of processes by cgroups of our own, where there is no systemd to make them. I/O: files of the
kernel.

Where cgroups cannot be written, as in many containers, processes run without limits, which is said once.
"""

import contextlib
import errno
import logging
import time
from pathlib import Path
from typing import NamedTuple

from overlayd.daemon.log import fields
from overlayd.workload.limits import PERIOD_US, Limits

LOG = logging.getLogger(__name__)
ROOT = Path("/sys/fs/cgroup")
_V1 = ("memory", "cpu", "pids")
_V2_CONTROLLERS = "+memory +cpu +pids"


class Place(NamedTuple):
    """``procs``: what a process writes 0 to in order to be in. ``oom``: where the kernel counts whom it
    ended.
    """

    procs: tuple[str, ...] = ()
    oom: str = ""


class Cgroups:
    """One group for each container, below ``name``."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        self._v2 = (root / "cgroup.controllers").exists()
        tops = [root] if self._v2 else [root / one for one in _V1 if (root / one).is_dir()]
        self._tops = [top / name for top in tops]
        self._complained = False

    def make(self, name: str, limits: Limits) -> Place:
        """Make a group with ``limits``."""
        try:
            return self._make_v2(name, limits) if self._v2 else self._make_v1(name, limits)
        except OSError as error:
            if not self._complained:
                self._complained = True
                problem = f"{error.filename}: {error.strerror}"
                LOG.warning(
                    "limits are not enforced: cgroups cannot be written", extra=fields(problem=problem)
                )
            return Place()

    def remove(self, name: str) -> None:
        """Remove a group whose processes have ended; what is still in use stays."""
        for top in self._tops:
            group = top / name
            for _ in range(20):  # the kernel takes a moment to let go of what has ended
                try:
                    group.rmdir()
                except OSError as error:
                    if error.errno == errno.EBUSY:
                        time.sleep(0.005)
                        continue
                break
            with contextlib.suppress(OSError):
                top.rmdir()  # once nothing is in it any more

    def _make_v2(self, name: str, limits: Limits) -> Place:
        (top,) = self._tops
        group = top / name
        group.mkdir(parents=True, exist_ok=True)
        for above in (top.parent, top):
            (above / "cgroup.subtree_control").write_text(_V2_CONTROLLERS)
        quota = str(limits.quota_us) if limits.cpu_milli else "max"
        (group / "memory.max").write_text(str(limits.memory_bytes or "max"))
        (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        (group / "cpu.weight").write_text(str(limits.weight))
        (group / "pids.max").write_text(str(limits.processes))
        with contextlib.suppress(OSError):  # a kernel without swap has no such file
            (group / "memory.swap.max").write_text("0" if limits.memory_bytes else "max")
        return Place((str(group / "cgroup.procs"),), str(group / "memory.events"))

    def _make_v1(self, name: str, limits: Limits) -> Place:
        values = {
            "memory": {"memory.limit_in_bytes": limits.memory_bytes or -1},
            "cpu": {
                "cpu.cfs_period_us": PERIOD_US,
                "cpu.cfs_quota_us": limits.quota_us or -1,
                "cpu.shares": limits.shares,
            },
            "pids": {"pids.max": limits.processes},
        }
        procs: list[str] = []
        oom = ""
        for top in self._tops:
            group = top / name
            group.mkdir(parents=True, exist_ok=True)
            for file, value in values[top.parent.name].items():
                (group / file).write_text(str(value))
            procs.append(str(group / "cgroup.procs"))
            if top.parent.name == "memory":
                oom = str(group / "memory.oom_control")
        if not procs:
            raise FileNotFoundError(errno.ENOENT, "no controller is there", str(ROOT))
        return Place(tuple(procs), oom)
