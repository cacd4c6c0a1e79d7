"""What a host offers is what is configured, and else what it has."""

import os
from pathlib import Path

from overlayd.daemon.config import WorkloadSection
from overlayd.protocol.workload import Taint
from overlayd.workload.capacity import report_of


def test_what_is_configured_goes_before_what_is_there(tmp_path: Path) -> None:
    section = WorkloadSection(
        cpu="1500m", memory="2Gi", disk="10Gi", mbps="50", devices=("gpu=2",),
        labels=("disk=ssd",), taints=("edge=true:NoSchedule", "old:NoExecute"),
    )  # fmt: skip
    report = report_of(section, tmp_path, {"process": "direct"})
    capacity = report.capacity
    assert (capacity.cpu_milli, capacity.memory_bytes, capacity.disk_bytes, capacity.mbps) == (
        1500, 2 << 30, 10 << 30, 50,
    )  # fmt: skip
    assert (capacity.devices, report.labels) == ({"gpu": 2}, {"disk": "ssd"})
    assert report.taints == (Taint("edge", "true", "NoSchedule"), Taint("old", "", "NoExecute"))


def test_a_host_offers_all_that_it_has(tmp_path: Path) -> None:
    capacity = report_of(WorkloadSection(), tmp_path, {}).capacity
    assert capacity.cpu_milli == 1000 * (os.cpu_count() or 1)
    assert capacity.memory_bytes > 1 << 26 and capacity.disk_bytes > 1 << 26
