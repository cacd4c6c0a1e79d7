"""What this host offers to applications: as configured, and else all that it has. I/O: reads the host's
files.
"""

import os
from pathlib import Path

from overlayd.daemon.config import WorkloadSection
from overlayd.model.quantity import quantity
from overlayd.protocol.workload import Capacity, Report, Taint


def report_of(section: WorkloadSection, state_dir: Path, runtimes: dict[str, str]) -> Report:
    """Return what the controller is told of this host. ``runtimes`` by name, with their versions."""
    devices = dict(device.split("=", 1) for device in section.devices)
    return Report(
        capacity=Capacity(
            cpu_milli=round(quantity(section.cpu) * 1000) if section.cpu else 1000 * (os.cpu_count() or 1),
            memory_bytes=round(quantity(section.memory)) if section.memory else _memory_bytes(),
            disk_bytes=round(quantity(section.disk)) if section.disk else _disk_bytes(state_dir),
            mbps=round(quantity(section.mbps)) if section.mbps else None,
            devices={name: int(count) for name, count in devices.items()},
        ),
        runtimes=runtimes,
        labels=dict(label.split("=", 1) for label in section.labels),
        taints=tuple(_taint(text) for text in section.taints),
    )


def _taint(text: str) -> Taint:
    said, _, effect = text.rpartition(":")
    key, _, value = said.partition("=")
    return Taint(key, value, effect)


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _disk_bytes(folder: Path) -> int:
    """The whole disk: what is used of it now is partly ours, and a figure that changes would be told each
    time.
    """
    disk = os.statvfs(folder)
    return disk.f_frsize * disk.f_blocks
