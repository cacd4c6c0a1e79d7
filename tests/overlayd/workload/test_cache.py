"""What the controller wanted last outlives everything, and a spoilt file is not mistaken for "nothing"."""

from pathlib import Path

from overlayd.daemon.files import previous_of
from overlayd.workload.cache import Cache
from overlayd.workload.lease_files import LeaseFiles
from tests.overlayd.workload.pods import pod


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    pods = (pod("a", meta={"annotations": {"x": "y"}}), pod("b"))
    assert Cache(tmp_path).load() is None
    assert Cache(tmp_path).save(pods)
    assert Cache(tmp_path).load() == pods
    assert Cache(tmp_path).save(()) and Cache(tmp_path).load() == ()


def test_a_damaged_file_gives_way_to_the_one_before_and_both_to_not_knowing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save((pod("a"),))
    cache.save((pod("b"),))
    file = tmp_path / "desired.json"
    file.write_bytes(file.read_bytes()[:-5])
    assert Cache(tmp_path).load() == (pod("a"),)
    previous_of(file).write_bytes(b"spoilt")
    assert Cache(tmp_path).load() is None


def test_what_a_disk_does_not_take_is_told_and_taken_later(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "nosuch")
    assert not cache.save((pod(),))
    (tmp_path / "nosuch").mkdir()
    assert cache.save((pod(),))
    assert Cache(tmp_path / "nosuch").load() == (pod(),)


def test_the_same_is_not_written_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save((pod(),))
    (tmp_path / "desired.json").unlink()
    assert cache.save((pod(),)) and not (tmp_path / "desired.json").exists()


def test_leases_are_of_this_boot_alone(tmp_path: Path) -> None:
    files = LeaseFiles(tmp_path)
    assert files.load() == {}
    files.save({"u": 5}, {"u": 35})
    assert LeaseFiles(tmp_path).load() == {"u": 5}
    assert (files.folder / "u").read_text() == "35"
    files.save({}, {})
    assert not (files.folder / "u").exists() and LeaseFiles(tmp_path).load() == {}
    kept = tmp_path / "leases.json"
    files.save({"u": 5}, {})
    kept.write_text(kept.read_text().replace('"boot":"', '"boot":"another'))
    assert LeaseFiles(tmp_path).load() == {}
