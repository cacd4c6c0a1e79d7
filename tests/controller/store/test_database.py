"""Opening, migrating and refusing databases."""

import resource
import sqlite3
import threading
from pathlib import Path

import pytest

from controller.enrolment.errors import TokenUsed
from controller.enrolment.tokens import grant
from controller.store import database
from controller.store.database import StoreDamaged, StoreError, StoreMissing, StoreNewer
from controller.store.store import NetworkRow, Store

NETWORK = NetworkRow(7, "test", "aes256-gcm", "00" * 32, "100.64.0.0/16", 0)


def test_a_new_database_has_the_newest_version_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "controller.db"
    Store.create(path, NETWORK).close()
    assert path.stat().st_mode & 0o777 == 0o600
    store = Store.open(path, check=True)
    assert store.network() == NETWORK and store.generation() == 0
    (version,) = sqlite3.connect(path).execute("PRAGMA user_version").fetchone()
    assert version == database.migrations()[-1][0]


def test_a_database_of_a_newer_version_is_refused_by_both_versions_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "controller.db"
    Store.create(path, NETWORK).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    newest = database.migrations()[-1][0]
    with pytest.raises(StoreNewer, match=rf"version 99; this program knows versions up to {newest}"):
        Store.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("keep", [0, 50, 1000, 5000])
def test_a_truncated_database_is_told_from_a_good_one_and_left_alone(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "controller.db"
    Store.create(path, NETWORK).close()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreDamaged):
        Store.open(path, check=True)
    assert path.stat().st_size == keep


def test_a_disk_without_room_is_not_called_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "controller.db"
    Store.create(path, NETWORK).close()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(StoreError, match="its disk is full, read-only or failing") as caught:
            Store.open(path, check=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not isinstance(caught.value, StoreDamaged)
    Store.open(path, check=True).close()


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "controller.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE shopping (item TEXT)")
    connection.close()
    with pytest.raises(StoreDamaged, match="no database of an overlayd controller"):
        Store.open(path)


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        Store.open(tmp_path / "controller.db")
    assert not (tmp_path / "controller.db").exists()


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "controller.db", NETWORK)
    with pytest.raises(RuntimeError), store.transaction():
        store.save_token(grant(bytes(32), "paris", 0.0))
        raise RuntimeError
    assert store.tokens() == []


def test_of_many_processes_that_use_one_token_exactly_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "controller.db"
    store = Store.create(path, NETWORK)
    token = grant(bytes(32), "paris", 1000.0)
    with store.transaction():
        store.save_token(token)
    outcomes: list[bool] = []
    together = threading.Barrier(8)

    def use() -> None:
        mine = Store.open(path)
        together.wait()
        try:
            with mine.transaction():
                mine.consume_token(token.digest, 1001.0)
            outcomes.append(True)
        except TokenUsed:
            outcomes.append(False)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_an_expired_token_cannot_be_consumed(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "controller.db", NETWORK)
    token = grant(bytes(32), "paris", 1000.0, ttl_s=10)
    with store.transaction():
        store.save_token(token)
    with pytest.raises(TokenUsed), store.transaction():
        store.consume_token(token.digest, 1010.0)


def test_another_processes_write_is_noticed(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "controller.db", NETWORK)
    other = Store.open(tmp_path / "controller.db")
    before = store.data_version()
    assert store.data_version() == before
    with other.transaction():
        other.save_token(grant(bytes(32), "paris", 0.0))
    assert store.data_version() != before
