"""Descriptors that outlive the process: said to systemd and taken from it as its protocol has it."""

import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from overlayd.daemon.fd_store import FdStore


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[socket.socket]:
    """The end that systemd reads."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield end


def told(systemd: socket.socket) -> tuple[str, list[int]]:
    message, descriptors, _, _ = socket.recv_fds(systemd, 4096, 4)
    return message.decode(), descriptors


def test_what_is_new_is_left_with_systemd_and_watched_for_nothing(systemd: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        FdStore({}, keeps=True).settle({"udp 127.0.0.1 5": mine.fileno()})
        message, (copy,) = told(systemd)
        with socket.socket(fileno=copy) as kept:
            assert kept.getsockname() == mine.getsockname()
    assert message == "FDSTORE=1\nFDPOLL=0\nFDNAME=udp 127.0.0.1 5"


def test_what_was_left_is_taken_once_and_not_stored_again(systemd: socket.socket) -> None:
    left, other = os.pipe()
    store = FdStore({"udp a 1": left}, keeps=True)
    assert store.take("udp b 1") is None
    assert store.take("udp a 1") == left
    assert store.take("udp a 1") is None
    store.settle({"udp a 1": left})
    systemd.settimeout(0)
    with pytest.raises(BlockingIOError):
        told(systemd)
    os.close(left)
    os.close(other)


def test_what_nobody_takes_is_closed_here_and_there(systemd: socket.socket) -> None:
    left, other = os.pipe()
    FdStore({"tun overlay0 1": left}, keeps=True).settle({})
    assert told(systemd)[0] == "FDSTOREREMOVE=1\nFDNAME=tun overlay0 1"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(left)
    os.close(other)


def test_what_has_no_use_any_more_is_closed_before_anything_is_opened(systemd: socket.socket) -> None:
    left, other = os.pipe()
    store = FdStore({"udp 0.0.0.0 5": left, "tun overlay0 0": other}, keeps=True)
    assert store.forget({"udp 192.0.2.1 5", "tun overlay0 0"})
    assert told(systemd)[0] == "FDSTOREREMOVE=1\nFDNAME=udp 0.0.0.0 5"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(left)
    assert store.take("tun overlay0 0") == other
    assert store.left_something and not store.forget({"udp 192.0.2.1 5"})
    os.close(other)


def test_a_queue_of_no_interface_is_not_taken() -> None:
    left, other = os.pipe()
    store = FdStore({"tun overlay0 0": left}, keeps=True)
    assert store.take_queue("tun overlay0 0", "overlay0") is None
    store.settle({})
    os.close(other)


def test_a_queue_opened_anew_takes_the_place_of_a_dead_one_of_its_name(systemd: socket.socket) -> None:
    left, other = os.pipe()
    store = FdStore({"tun overlay0 0": left}, keeps=True)
    assert store.take_queue("tun overlay0 0", "overlay0") is None
    new, writer = os.pipe()
    store.settle({"tun overlay0 0": new})
    assert told(systemd) == ("FDSTOREREMOVE=1\nFDNAME=tun overlay0 0", [])
    message, (copy,) = told(systemd)
    assert message == "FDSTORE=1\nFDPOLL=0\nFDNAME=tun overlay0 0"
    assert os.path.sameopenfile(copy, new)
    for descriptor in (other, new, writer, copy):
        os.close(descriptor)


def test_descriptors_for_another_process_are_not_ours() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "udp a 1"}
    store = FdStore.inherit(environment)
    assert not store.left_something and not store.keeps
    assert not environment, "a child would take them for its own"
