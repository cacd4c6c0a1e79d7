"""The engine's files: made once, never silently replaced, readable after any cut."""

import os
from pathlib import Path

import msgspec
import pytest

from overlayd.daemon.engine_state import EngineState, EngineStateError
from overlayd.protocol import engine


def snapshot(generation: int) -> engine.Snapshot:
    return engine.Snapshot(
        schema=engine.SCHEMA,
        generation=generation,
        route_generation=0,
        network=engine.Network(1, "aes256-gcm", "00" * 32),
        node=engine.Local(1, "me", (), (), False),
        peers=(),
        links=(),
        classes=(),
        classifiers=(),
        routes=(),
    )


def save(state: EngineState, generation: int) -> None:
    state.save_snapshot(msgspec.json.encode(snapshot(generation)))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "engine"


@pytest.fixture
def state(directory: Path) -> EngineState:
    return EngineState(directory)


def test_an_identity_is_made_once_and_only_the_owner_reads_it(state: EngineState, directory: Path) -> None:
    key = state.identity()
    assert len(key) == 32
    assert state.identity() == key
    assert (directory / "identity.key").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", ["", "00" * 31, "zz" * 32])
def test_a_damaged_identity_is_never_replaced(state: EngineState, directory: Path, damage: str) -> None:
    (directory / "identity.key").write_text(damage)
    with pytest.raises(EngineStateError, match=r"identity\.key"):
        state.identity()
    assert (directory / "identity.key").read_text() == damage


def test_each_start_has_a_larger_boot_number(state: EngineState, directory: Path) -> None:
    assert [state.next_boot() for _ in range(3)] == [1, 2, 3]
    state.close()
    assert EngineState(directory).next_boot() == 4


def test_a_damaged_boot_counter_begins_anew(state: EngineState, directory: Path) -> None:
    (directory / "boot").write_bytes(b"\x00\xff")
    assert state.next_boot() == 1
    assert state.next_boot() == 2


def test_two_engines_never_share_a_directory(state: EngineState, directory: Path) -> None:
    with pytest.raises(EngineStateError, match="another engine is running"):
        EngineState(directory)
    state.close()
    EngineState(directory).close()


def test_the_last_snapshot_is_found_again(state: EngineState) -> None:
    assert state.load_snapshot() is None
    save(state, 1)
    save(state, 2)
    assert state.load_snapshot() == snapshot(2)


def test_a_truncated_snapshot_leaves_the_one_before(state: EngineState, directory: Path) -> None:
    save(state, 1)
    save(state, 2)
    file = directory / "snapshot.json"
    whole = file.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert state.load_snapshot() == snapshot(1)


def test_a_snapshot_of_a_newer_version_leaves_the_one_before(state: EngineState, directory: Path) -> None:
    save(state, 1)
    save(state, 2)
    file = directory / "snapshot.json"
    file.write_bytes(file.read_bytes().replace(b'"schema":1', b'"schema":9', 1))
    assert state.load_snapshot() == snapshot(1)


def test_a_disk_that_takes_nothing_stops_nothing(state: EngineState, monkeypatch: pytest.MonkeyPatch) -> None:
    state.identity()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        assert state.next_boot() == 1
        save(state, 1)
        assert state.load_snapshot() is None
    state.settle()
    assert state.load_snapshot() == snapshot(1), "it is made up for"
    save(state, 2)
    state.settle()
    assert state.load_snapshot() == snapshot(2)


def test_an_engine_comes_back_on_a_disk_that_is_read_only_by_now(
    state: EngineState, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = state.identity()
    save(state, 3)
    state.close()
    really = os.open

    def read_only(path: Path, flags: int, *rest: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system")
        return really(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    again = EngineState(directory)
    assert (again.identity(), again.load_snapshot(), again.next_boot()) == (key, snapshot(3), 1)
    with pytest.raises(EngineStateError, match="another engine"):
        EngineState(directory)


def test_keys_are_appended_for_the_owner(state: EngineState, directory: Path) -> None:
    state.log_key(b'{"a":1}')
    state.log_key(b'{"a":2}')
    keys = directory / "keys.jsonl"
    assert keys.read_bytes() == b'{"a":1}\n{"a":2}\n'
    assert keys.stat().st_mode & 0o777 == 0o600
