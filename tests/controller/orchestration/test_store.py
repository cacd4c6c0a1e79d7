"""The objects' store: one version for all, durable writes, a bounded history."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from controller.orchestration.objects.schema import Object
from controller.orchestration.store.store import HistoryLost, Key, Store
from controller.store.database import StoreDamaged, StoreNewer

THINGS = "things.overlayd.io"
WRITER = """
import sys
from pathlib import Path
from controller.orchestration.store.store import Key, Store
store = Store(Path(sys.argv[1]))
for number in range(100_000):
    name = f"n{number % 50}"
    body = store.write(Key("things", "", name), lambda _: {"metadata": {"name": name}, "n": number}, number)
    print(name, number, body["metadata"]["resourceVersion"], flush=True)
"""


def thing(name: str, **fields: int) -> Object:
    return {"metadata": {"name": name}, **fields}


def put(store: Store, name: str, now_s: int = 0, **fields: int) -> int:
    body = store.write(Key(THINGS, "", name), lambda _: thing(name, **fields), now_s)
    assert body is not None
    return int(body["metadata"]["resourceVersion"])


def test_each_change_gets_the_next_version_whatever_it_is_of(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db")
    versions = [put(store, "a", x=1), put(store, "b", x=1), put(store, "a", x=2)]
    assert versions == [versions[0], versions[0] + 1, versions[0] + 2]
    assert store.version() == versions[-1]


def test_a_write_that_raises_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db")
    before = put(store, "a", x=1)
    with pytest.raises(RuntimeError), store.transaction(0) as change:
        change.write(Key(THINGS, "", "b"), lambda _: thing("b"))
        raise RuntimeError
    assert store.version() == before and store.read(Key(THINGS, "", "b")) is None


def test_what_does_not_change_gets_no_version(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db")
    before = put(store, "a", x=1)
    store.write(Key(THINGS, "", "a"), lambda live: live, 0)
    assert store.version() == before


def test_changes_tell_what_was_before_and_what_has_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db")
    since = store.version()
    put(store, "a", x=1)
    put(store, "a", x=2)
    store.write(Key(THINGS, "", "a"), lambda _: None, 0)
    made, changed, gone = store.changes(since)
    assert made.before is None and msgspec.json.decode(changed.before or b"")["x"] == 1
    assert gone.gone and msgspec.json.decode(gone.body)["metadata"]["resourceVersion"] == str(gone.version)
    assert store.read(Key(THINGS, "", "a")) is None


def test_history_is_bounded_and_says_where_it_begins(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db", most_changes=10, kept_s=0)
    first = store.version()
    last = [put(store, "a", x=number) for number in range(40)][-1]
    with pytest.raises(HistoryLost) as lost:
        store.changes(first)
    assert last - 11 <= lost.value.oldest <= last - 10
    assert len(store.changes(lost.value.oldest)) == last - lost.value.oldest


def test_young_changes_are_kept_however_many(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db", most_changes=10, kept_s=600)
    first = store.version()
    for number in range(40):
        put(store, "a", now_s=1000, x=number)
    assert len(store.changes(first)) == 40


def test_history_outlives_the_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db")
    first = put(store, "a", x=1)
    put(store, "a", x=2)
    store.close()
    assert [change.gone for change in Store(tmp_path / "objects.db").changes(first)] == [False]


def test_no_acknowledged_write_is_lost_to_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged: dict[str, tuple[int, int]] = {}
        for _ in range(300):
            name, number, version = writer.stdout.readline().split()
            acknowledged[name] = (int(number), int(version))
        os.kill(writer.pid, signal.SIGKILL)
        for line in writer.stdout:  # what was acknowledged before the kill was seen
            if len(words := line.split()) == 3 and line.endswith("\n"):
                acknowledged[words[0]] = (int(words[1]), int(words[2]))
    store = Store(path)
    for name, (number, version) in acknowledged.items():
        body = msgspec.json.decode(store.read(Key("things", "", name)) or b"{}")
        assert (body["n"], int(body["metadata"]["resourceVersion"])) >= (number, version)
    versions = [change.version for change in store.changes(1)]
    assert versions == list(range(2, store.version() + 1)), "no gap, no repetition"


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreNewer, match="99"):
        Store(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    with pytest.raises(StoreDamaged):
        Store(path)
