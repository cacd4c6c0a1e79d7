"""How full an instance is, by what the kernel says of its own control group."""

from pathlib import Path

import pytest

from overlayd.workload import fullness
from overlayd.workload.fullness import Fullness, Limited, cpu_ns
from overlayd.workload.messages import PodUid, RunId

S = 1_000_000_000
UNIT = "overlayd.slice/overlayd-pod-u1-main.service"


def v2(folder: Path, taken_us: int) -> None:
    (folder / "proc/7").mkdir(parents=True, exist_ok=True)
    (folder / "proc/7/cgroup").write_text(f"0::/{UNIT}\n")
    (folder / "cgroup" / UNIT).mkdir(parents=True, exist_ok=True)
    (folder / "cgroup" / UNIT / "cpu.stat").write_text(f"usage_usec {taken_us}\nuser_usec 1\n")


def test_the_time_of_a_group_is_read_in_both_versions(tmp_path: Path) -> None:
    v2(tmp_path, 1500)
    places = {"proc": tmp_path / "proc", "cgroups": tmp_path / "cgroup"}
    assert cpu_ns(7, ("u1",), **places) == 1_500_000
    (tmp_path / "proc/8").mkdir()
    (tmp_path / "proc/8/cgroup").write_text("4:memory:/docker/c0ffee\n3:cpu,cpuacct:/docker/c0ffee\n0::/\n")
    (tmp_path / "cgroup/cpuacct/docker/c0ffee").mkdir(parents=True)
    (tmp_path / "cgroup/cpuacct/docker/c0ffee/cpuacct.usage").write_text("42\n")
    assert cpu_ns(8, ("u2", "c0ffee"), **places) == 42


def test_a_group_of_others_tells_nothing_of_an_instance(tmp_path: Path) -> None:
    v2(tmp_path, 1500)
    places = {"proc": tmp_path / "proc", "cgroups": tmp_path / "cgroup"}
    assert cpu_ns(7, ("u2", ""), **places) is None
    assert cpu_ns(9, ("u1",), **places) is None


def test_fullness_is_the_part_of_the_limit_since_the_last_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {7: 100 * S, 8: 0}
    monkeypatch.setattr(fullness, "cpu_ns", lambda pid, marks: taken.get(pid))
    runs = [
        Limited(RunId(PodUid("u1"), "main"), 0, 500, 7, ("u1",)),
        Limited(RunId(PodUid("u1"), "side"), 0, 2000, 8, ("u1",)),
    ]
    full = Fullness()
    assert full.of(runs, 10 * S) == {}
    taken |= {7: 101 * S, 8: 1 * S}
    assert full.of(runs, 14 * S) == {"u1": 0.5}  # a second of four, of half a processor
    again = [Limited(RunId(PodUid("u1"), "main"), 1, 500, 7, ("u1",))]  # another run begins anew
    taken[7] = 0
    assert full.of(again, 15 * S) == {}
