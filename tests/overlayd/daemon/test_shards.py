"""How many shards an engine gets, and whether they stay awake."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from overlayd.daemon import shards
from overlayd.daemon.config import Configuration, load
from overlayd.daemon.engine import open_sockets
from overlayd.daemon.errors import ConfigurationError, StartError
from overlayd.daemon.fd_store import FdStore

UPLINK = '[[uplink]]\nname = "{name}"\naddress = "{address}"\nport = {port}\n'


def configured(directory: Path, shards: str, *uplinks: tuple[str, int], extra: str = "") -> Configuration:
    file = directory / "overlayd.toml"
    text = f"[engine]\nshards = {shards}\n" if shards else ""
    for number, (address, port) in enumerate(uplinks or (("192.0.2.1", 51900),)):
        text += UPLINK.format(name=f"isp{number}", address=address, port=port) + extra
    file.write_text(text)
    return load(file)


def with_cpus(monkeypatch: pytest.MonkeyPatch, cpus: float) -> None:
    monkeypatch.setattr(shards, "usable_cpus", lambda: cpus)


@pytest.mark.parametrize(("cpus", "wanted"), [(0.5, 1), (1, 1), (2, 1), (3.5, 1), (4, 2), (16, 8), (128, 16)])
def test_auto_is_one_for_two_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: float, wanted: int
) -> None:
    with_cpus(monkeypatch, cpus)
    assert shards.count(configured(tmp_path, "")) == wanted


@pytest.mark.parametrize(("cpus", "wanted"), [(0.5, 0), (1, 0), (1.5, 0), (2, 3000), (16, 3000)])
def test_who_has_no_core_to_spare_does_not_stay_awake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: float, wanted: int
) -> None:
    with_cpus(monkeypatch, cpus)
    assert shards.spin_us(configured(tmp_path, "")) == wanted
    assert shards.spin_us(configured(tmp_path, "1\nspin_us = 500")) == 500


def test_a_number_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cpus(monkeypatch, 2)
    assert shards.count(configured(tmp_path, "4")) == 4


def test_auto_leaves_the_ports_of_other_uplinks_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cpus(monkeypatch, 64)
    near = (("192.0.2.1", 51900), ("0.0.0.0", 51903))
    assert shards.count(configured(tmp_path, '"auto"', *near)) == 3
    apart = (("192.0.2.1", 51900), ("192.0.2.2", 51901), ("::", 51901))
    assert shards.count(configured(tmp_path, '"auto"', *apart)) == 16
    assert shards.count(configured(tmp_path, '"auto"', ("192.0.2.1", 65530))) == 6


def test_an_uplink_with_a_rate_has_one_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cpus(monkeypatch, 64)
    assert shards.count(configured(tmp_path, '"auto"', extra='rate = "100mbit"\n')) == 1


@pytest.mark.parametrize(
    ("wanted", "uplinks", "extra", "problem"),
    [
        ("4", (("192.0.2.1", 51900), ("192.0.2.1", 51902)), "", "'isp0' and 'isp1'"),
        ("4", (("192.0.2.1", 65534),), "", "65534 to 65537"),
        ("2", (("192.0.2.1", 51900),), 'rate = "1gbit"\n', "has a rate"),
        ("17", (("192.0.2.1", 51900),), "", "16"),
        ("0", (("192.0.2.1", 51900),), "", "1"),
        ('"many"', (("192.0.2.1", 51900),), "", "many"),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_key(
    tmp_path: Path, wanted: str, uplinks: tuple[tuple[str, int], ...], extra: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configured(tmp_path, wanted, *uplinks, extra=extra)
    assert "engine.shards" in str(refused.value)
    assert problem in str(refused.value)


def test_usable_are_the_cores_of_the_set_or_less_by_the_nearest_quota_above(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/system.slice/engine.service\n")
    service = tmp_path / "fs" / "system.slice" / "engine.service"
    service.mkdir(parents=True)
    cores = len(os.sched_getaffinity(0))
    assert shards.usable_cpus(own, tmp_path / "fs") == cores
    (service / "cpu.max").write_text("max 100000\n")
    assert shards.usable_cpus(own, tmp_path / "fs") == cores
    (service.parent / "cpu.max").write_text("50000 100000\n")
    assert shards.usable_cpus(own, tmp_path / "fs") == 0.5
    assert shards.usable_cpus(tmp_path / "none", tmp_path / "fs") == cores


def test_a_port_that_is_not_free_costs_shards_only_where_their_number_is_ours_to_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cpus(monkeypatch, 16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 42302))
        uplink, nothing = ("127.0.0.1", 42300), FdStore({}, keeps=False)
        with ExitStack() as stack:
            assert [
                len(row) for row in open_sockets(configured(tmp_path, '"auto"', uplink), nothing, stack)
            ] == [1, 1]
        with ExitStack() as stack, pytest.raises(StartError, match="42302"):
            open_sockets(configured(tmp_path, "4", uplink), nothing, stack)
    with ExitStack() as stack:
        assert len(open_sockets(configured(tmp_path, "4", uplink), nothing, stack)) == 4
