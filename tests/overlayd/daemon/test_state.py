"""The agent's files: whole after any crash, never taken for what they are not."""

import itertools
import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlayd.agent.mesh import Saved
from overlayd.daemon.state import (
    AgentState,
    Credentials,
    Membership,
    StateError,
    read_checked,
    write_checked,
)
from overlayd.model.node import SignedRecord

MEMBERSHIP = Membership("wss://192.0.2.1:7443", "00" * 32, SignedRecord(b"{}", b"signature"))
CREDENTIALS = Credentials("key", "certificate", "ca")


@pytest.fixture
def state(tmp_path: Path) -> AgentState:
    made = AgentState(tmp_path / "agent")
    made.prepare()
    return made


def test_a_membership_is_kept_and_forgotten_whole(state: AgentState) -> None:
    assert state.membership() is None
    state.join(MEMBERSHIP, CREDENTIALS)
    assert state.membership() == MEMBERSHIP
    assert stat.S_IMODE(state.key_file.stat().st_mode) == 0o600
    state.forget()
    assert state.membership() is None and list(state.directory.iterdir()) == []


def test_a_mesh_is_kept_with_the_one_before(state: AgentState) -> None:
    first, second = Saved(revoked="first"), Saved(revoked="second")
    state.save_mesh(first)
    state.save_mesh(second)
    assert state.load_mesh() == second
    (state.directory / "mesh.json").write_bytes(b"")
    assert state.load_mesh() == first


def test_a_truncated_file_falls_back_and_two_truncated_files_are_nothing(state: AgentState) -> None:
    for file in ("mesh.json", "mesh.previous.json"):
        (state.directory / file).write_bytes(b'{"schema":1,"sha256":"00"}\n{"rev')
    assert state.load_mesh() is None


def test_a_damaged_membership_is_an_error_and_is_left_alone(state: AgentState) -> None:
    state.join(MEMBERSHIP, CREDENTIALS)
    record = state.directory / "record.json"
    record.write_bytes(record.read_bytes()[:-5])
    with pytest.raises(StateError, match="damaged"):
        state.membership()
    assert record.exists() and state.key_file.exists()


def test_a_file_of_a_newer_version_is_put_aside_not_overwritten(state: AgentState) -> None:
    file = state.directory / "mesh.json"
    file.write_bytes(b'{"schema":99,"sha256":"00"}\n{"from the future":1}')
    assert state.load_mesh() is None
    state.save_mesh(Saved())
    assert b"from the future" in (state.directory / "mesh.json.newer").read_bytes()


def test_what_a_full_disk_did_not_take_is_told_of_and_written_once_it_does(
    state: AgentState, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state.save_mesh(Saved(revoked="kept"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        state.save_mesh(Saved(revoked="owed"))
        state.keep_membership(MEMBERSHIP)
        assert "state not saved" in caplog.text
        assert state.trouble == "No space left on device"
        assert (state.load_mesh(), state.membership()) == (Saved(revoked="kept"), None)
        state.settle(None)
        assert state.trouble == "No space left on device", "it was tried, and failed again"
    state.settle(state.probe())
    assert state.trouble is None
    assert (state.load_mesh(), state.membership()) == (Saved(revoked="owed"), MEMBERSHIP)


def test_what_came_after_it_is_not_overwritten_by_what_was_owed(
    state: AgentState, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", _refuse)
        state.save_mesh(Saved(revoked="owed"))
    state.save_mesh(Saved(revoked="newer"))
    state.settle(None)
    assert state.load_mesh() == Saved(revoked="newer")
    state.forget()
    state.settle(None)
    assert state.load_mesh() is None


def test_a_directory_that_takes_nothing_is_found_out_without_a_need(
    state: AgentState, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state.probe() is None and list(state.directory.iterdir()) == []
    monkeypatch.setattr(Path, "write_bytes", _refuse)
    state.settle(state.probe())
    assert state.trouble == "Read-only file system"


def _refuse(*_: object, **__: object) -> None:
    raise OSError(30, "Read-only file system")


@given(st.binary(max_size=200))
def test_no_bytes_are_mistaken_for_a_checked_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("checked") / "mesh.json"
    file.write_bytes(data)
    assert read_checked(file, 1) is None


def _write_for_ever(file: Path) -> None:
    for number in itertools.count():
        write_checked(file, 1, (b"%d.%d " % (os.getpid(), number)) * 20000)


def test_kill_9_during_writes_leaves_a_whole_file_every_time(tmp_path: Path) -> None:
    file = tmp_path / "mesh.json"
    write_checked(file, 1, b"0 " * 20000)
    for round_ in range(15):
        before = read_checked(file, 1)
        writer = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(file,))
        writer.start()
        while read_checked(file, 1) == before and writer.is_alive():
            time.sleep(0.001)
        time.sleep(0.0007 * round_)
        writer.kill()
        writer.join()
        body = read_checked(file, 1)
        assert body is not None and len(set(body.split())) == 1
