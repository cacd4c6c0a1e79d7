"""History of links: finest first, rolled up, forgotten in time, readable after a restart."""

from pathlib import Path

import numpy as np
import pytest

from controller.config import StoreSection
from controller.server.archive import Archive
from controller.store.store import NetworkRow, Store
from controller.topology import frames
from controller.topology.frames import LinkFrame
from overlayd.model.ids import NodeId
from overlayd.protocol.scales import COARSE_DELAY_MS

START = 1_700_006_400.0  # a full hour
KEEP = StoreSection(frames_days=1.0, retention_days=7.0, hourly_days=90.0)


def database(folder: Path) -> Path:
    path = folder / "test.db"
    Store.create(path, NetworkRow(1, "test", "aes256-gcm", "00" * 32, "100.64.0.0/16", 0)).close()
    return path


def links(rtt_ms: float) -> LinkFrame:
    codes = np.zeros((frames.FIGURES, 2, 2), np.uint8)
    codes[frames.RTT_Q50, 0, 1] = COARSE_DELAY_MS.code(rtt_ms)
    return LinkFrame((NodeId(1), NodeId(2)), codes)


def record(archive: Archive, first: int, last: int) -> None:
    """Record each 15 s; the RTT is 10 ms plus one for each five minutes."""
    for number in range(first, last):
        archive.record(START + 15 * number, links(10.0 + number // 20))


def rtt_ms(archive: Archive, at: float) -> float | None:
    moment = archive.at(at)
    return None if moment is None else float(moment.frame.rtt_ms()[0, 1])


def test_a_moment_is_told_by_the_newest_frame_before_it(tmp_path: Path) -> None:
    archive = Archive(database(tmp_path), KEEP, 15.0)
    record(archive, 0, 100)
    moment = archive.at(START + 15 * 50 + 7.0)
    assert moment is not None and (moment.at, moment.span_s) == (START + 15 * 50, 15.0)
    assert rtt_ms(archive, START + 15 * 50) == pytest.approx(12.0, rel=0.03)
    assert archive.at(START - 1.0) is None
    assert archive.at(START + 15 * 99 + 3 * 3600 + 1) is None
    archive.close()


def test_what_is_no_longer_kept_in_full_is_told_by_five_minutes_and_then_by_the_hour(tmp_path: Path) -> None:
    archive = Archive(database(tmp_path), KEEP, 15.0)
    record(archive, 0, 3 * 240 + 1)
    archive.prune(START + 1.5 * 86400)
    moment = archive.at(START + 3600 + 400.0)
    assert moment is not None and (moment.at, moment.span_s) == (START + 3900, 300.0)
    assert rtt_ms(archive, START + 3600 + 400.0) == pytest.approx(22.0, rel=0.03)
    archive.prune(START + 8 * 86400)
    moment = archive.at(START + 2 * 3600 + 400.0)
    assert moment is not None and (moment.at, moment.span_s) == (START + 7200, 3600.0)
    assert rtt_ms(archive, START + 2 * 3600 + 400.0) == pytest.approx(28.0, rel=0.06)
    archive.prune(START + 92 * 86400)
    assert archive.at(START + 2 * 3600 + 400.0) is None
    archive.close()


def test_history_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = database(tmp_path)
    before = Archive(path, KEEP, 15.0)
    record(before, 0, 30)
    before.close()
    after = Archive(path, KEEP, 15.0)
    record(after, 30, 41)
    for number in (29, 30, 40):
        expected = pytest.approx(10.0 + number // 20, rel=0.03)
        assert rtt_ms(after, START + 15 * number) == expected, number
    after.prune(START + 1.5 * 86400)  # the five minutes that were interrupted are there whole
    assert rtt_ms(after, START + 600.0) == pytest.approx(11.0, rel=0.03)
    after.close()


def test_an_idle_mesh_takes_little_room(tmp_path: Path) -> None:
    path = database(tmp_path)
    archive = Archive(path, KEEP, 15.0)
    rng = np.random.default_rng(1)
    ids = tuple(NodeId(n) for n in range(1, 101))
    codes = rng.integers(100, 160, (frames.FIGURES, 100, 100), np.uint8)
    for number in range(1, 21):
        archive.record(START + 15 * number, LinkFrame(ids, codes))
    stored = sum(len(blob) for _, _, blob in Store.open(path).frames(0, 0.0, START + 1e6))
    assert stored < 1.2 * codes.size
    archive.close()
