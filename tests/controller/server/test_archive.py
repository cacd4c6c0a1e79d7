"""History of links: finest first, rolled up, forgotten in time, readable after a restart."""

import sqlite3
from pathlib import Path

import msgspec
import numpy as np
import pytest

from controller.config import StoreSection
from controller.core.decision import Decision
from controller.core.record import pack_decision
from controller.server.archive import Archive
from controller.store.store import NetworkRow, Store
from controller.topology import frames
from controller.topology.frames import LinkFrame
from overlayd.model.ids import NodeId
from overlayd.protocol.scales import COARSE_DELAY_MS
from tests.controller.core.world import World

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


@pytest.fixture(scope="module")
def made() -> list[Decision]:
    """Thirty decisions of three nodes, five minutes apart; the link ab gets slower by 1 ms each time."""
    world = World("abk")
    world.mesh(ab=20, ak=15, bk=15)
    world.run(61)
    found: list[Decision] = []
    while len(found) < 30:
        world.now_ns += 300 * 10**9
        while (decision := _asked(world)) is None:
            world.now_ns += 10**9
        found.append(decision)
        world.controller.complete(decision.run(), world.now)
        world.link("ab").rtt_ms += 1
    return found


def _asked(world: World) -> Decision | None:
    for name in world.ids:
        world.report(name)
    return world.controller.begin(world.now)


def kept(folder: Path) -> list[tuple[float, bool, int]]:
    """When each record is of, whether it is whole, and its size."""
    with sqlite3.connect(folder / "test.db") as connection:
        rows = connection.execute("SELECT at, base, size FROM decisions ORDER BY at").fetchall()
    return [(at, at == base, size) for at, base, size in rows]


def test_decisions_are_kept_as_differences_and_told_as_they_were(
    tmp_path: Path, made: list[Decision]
) -> None:
    archive = Archive(database(tmp_path), KEEP, 15.0)
    for decision in made:
        archive.keep_decision(decision)
    records = kept(tmp_path)
    whole = [(at, size) for at, is_whole, size in records if is_whole]
    assert len(records) == 30 and 3 <= len(whole) <= 4  # of two hours and a half
    assert all(size < whole[0][1] for _, is_whole, size in records if not is_whole)
    for number, decision in enumerate(made):
        found = archive.decision(decision.now.unix_s + 0.5)
        assert found is not None and found.now == decision.now
        assert found.forecast.measured_rtt_ms[0, 1] == pytest.approx(20 + number)
    assert archive.decision(made[0].now.unix_s - 1) is None
    archive.close()


def test_a_whole_record_goes_with_its_differences_and_not_before(
    tmp_path: Path, made: list[Decision]
) -> None:
    archive = Archive(database(tmp_path), KEEP, 15.0)
    for decision in made:
        archive.keep_decision(decision)
    records = kept(tmp_path)
    first, second = [at for at, is_whole, _ in records if is_whole][:2]
    last = max(at for at, *_ in records if at < second)
    archive.prune(last + 86400)
    assert kept(tmp_path)[0][0] == first, "its last difference is a day old and no more"
    archive.prune(last + 86401)
    assert kept(tmp_path)[0][0] == second
    assert archive.decision(second + 900) is not None
    archive.close()


def test_decisions_take_no_more_room_than_they_may(tmp_path: Path, made: list[Decision]) -> None:
    most = 9 * len(pack_decision(made[-1]))
    archive = Archive(database(tmp_path), msgspec.structs.replace(KEEP, decisions_gb=most / 1e9), 15.0)
    for number, decision in enumerate(made):
        archive.keep_decision(decision)
        archive.prune(decision.now.unix_s)
        records = kept(tmp_path)
        held = sum(size for *_, size in records)
        assert most / 2 < held <= most or number < 9
        assert records[0][1], "what is left begins with a whole one"
        assert archive.decision(decision.now.unix_s) is not None
    archive.close()


def test_with_no_room_no_decision_is_kept_and_the_next_one_does_not_lean_on_it(
    tmp_path: Path, made: list[Decision]
) -> None:
    archive = Archive(database(tmp_path), msgspec.structs.replace(KEEP, decisions_gb=0.0), 15.0)
    for decision in made[:3]:
        archive.keep_decision(decision)
        assert [whole for _, whole, _ in kept(tmp_path)] == [True]
        archive.prune(decision.now.unix_s)
        assert kept(tmp_path) == []
    archive.close()
