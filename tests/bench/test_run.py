"""What a run does with systems that do not work. Needs root: it makes network namespaces."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.lab import netns
from tests.bench import measure, run
from tests.bench.ground import PREFIX, Ground, remove_left_behind, underlay
from tests.bench.programs import Missing, Programs
from tests.bench.systems import Simple

NOWHERE = "192.0.2.99"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.fail("makes network namespaces: run as root")
    monkeypatch.setattr(measure, "UP_S", 0.5)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path, tmp_path, lambda line: None)


def system(script: str) -> Simple:
    """A system whose process on the first host runs a script of Python, and carries nothing."""

    def start(ground: Ground, _find: Callable[[str], str]) -> tuple[str, str]:
        ground.start_tunnel(1, [sys.executable, "-u", "-c", script])
        return underlay(1), NOWHERE

    return Simple("idle", start)


def namespaces_of_ours() -> list[str]:
    folder = Path("/var/run/netns")
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(f"{PREFIX}{os.getpid()}-")]


def test_a_system_that_passes_nothing_has_a_failure_with_its_log_and_no_figures(programs: Programs) -> None:
    idle = system("import time; print('cannot find my key'); time.sleep(60)")
    cell = run.measure(idle, "on", 1, programs, "cubic")
    assert cell.figures is None
    assert "no echo came back within 0.5 s" in cell.failure
    assert "host 1: cannot find my key" in cell.failure
    assert namespaces_of_ours() == []


def test_a_system_whose_process_has_ended_is_not_waited_for(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "UP_S", 3600.0)
    cell = run.measure(system("import time; time.sleep(0.2)"), "on", 1, programs, "cubic")
    assert cell.figures is None
    assert "its process on host1 has ended" in cell.failure


def test_a_program_that_cannot_be_had_is_told(programs: Programs) -> None:
    def start(ground: Ground, find: Callable[[str], str]) -> tuple[str, str]:
        ground.start_tunnel(1, [find("no-such-tunnel")])
        return underlay(1), underlay(2)

    with pytest.raises(Missing, match="no-such-tunnel is not installed"):
        run.measure(Simple("absent", start), "on", 1, programs, "cubic")
    assert namespaces_of_ours() == []


def test_processes_and_namespaces_go_when_a_run_is_interrupted(programs: Programs) -> None:
    def start(ground: Ground, _find: Callable[[str], str]) -> tuple[str, str]:
        ground.start_tunnel(1, ["sleep", "3600"])
        (started,) = ground.tunnels
        pids.append(started.pid)
        raise KeyboardInterrupt

    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run.measure(Simple("interrupted", start), "on", 1, programs, "cubic")
    assert namespaces_of_ours() == []
    assert not Path(f"/proc/{pids[0]}/fd").exists() or not os.listdir(f"/proc/{pids[0]}/fd")


def test_hosts_of_a_chain_reach_their_neighbours_only(tmp_path: Path) -> None:
    with Ground(3, False, tmp_path) as ground:
        ground.run(2, "ping", "-c", "1", "-W", "2", underlay(1))
        ground.run(2, "ping", "-c", "1", "-W", "2", underlay(3))
        with pytest.raises(Exception, match="unreachable"):
            ground.run(1, "ping", "-c", "1", "-W", "1", underlay(3))
        features = ground.run(1, "ethtool", "-k", "right")
    assert "tcp-segmentation-offload: off" in features
    assert "rx-checksumming: on" in features


def test_what_a_killed_run_left_behind_is_removed() -> None:
    # No process has this number: it is above what the kernel gives.
    left = f"{PREFIX}{2**30}-1"
    netns.create(left)
    remove_left_behind()
    assert not netns.exists(left)


def test_all_tcp_is_pinned_to_bbr_where_the_kernel_has_it() -> None:
    assert run.pick_control("reno bbr cubic\n") == "bbr"
    assert run.pick_control("reno cubic\n") == "cubic"
    assert run.pick_control("reno\n") == "reno"
