"""Who may ask the agent: root, its own user, the group."""

import grp
import os
import pwd
import socket
import struct

import pytest

from overlayd.daemon import local_api

NOBODY, MEMBERS = 65534, 4711


class Connection:
    """A socket whose other end is a process of ``uid`` and ``gid``."""

    def __init__(self, uid: int, gid: int) -> None:
        self._credentials = struct.pack("iII", 1, uid, gid)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return self._credentials


def allowed(uid: int, gid: int) -> bool:
    return local_api.allowed(Connection(uid, gid))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def group(monkeypatch: pytest.MonkeyPatch) -> None:
    made = grp.struct_group(("overlayd", "x", MEMBERS, ["alice"]))
    alice = pwd.struct_passwd(("alice", "x", 1001, 1001, "", "/", "/bin/sh"))

    def of_uid(uid: int) -> pwd.struct_passwd:
        if uid == alice.pw_uid:
            return alice
        raise KeyError(uid)

    monkeypatch.setattr(grp, "getgrnam", lambda name: made)
    monkeypatch.setattr(pwd, "getpwuid", of_uid)


def test_root_and_the_agents_own_user_may() -> None:
    assert allowed(0, 0) and allowed(os.geteuid(), NOBODY)


def test_the_group_may_as_primary_group_and_by_membership() -> None:
    assert allowed(1002, MEMBERS) and allowed(1001, 1001)


def test_nobody_else_may() -> None:
    assert not allowed(NOBODY, NOBODY)


def test_without_the_group_nobody_else_may(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> grp.struct_group:
        raise KeyError(name)

    monkeypatch.setattr(grp, "getgrnam", missing)
    assert not allowed(1001, 1001) and allowed(0, 0)
