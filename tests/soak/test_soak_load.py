"""What compares in a soak finds whatever is altered, doubled or missing on the way. On loopback, no root."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCAL = "127.0.0.1"
BYTES = 2_000_000
WAIT_S = 120.0
TURN_S = 0.1

Alter = Callable[[int, bytes], list[bytes]]
"""What is passed on in place of a piece of data, by its place in what was sent."""


@pytest.fixture(scope="module")
def program() -> str:
    build = ["cargo", "build", "--locked", "--quiet", "--package", "overlayd-io", "--example", "soak_load"]
    subprocess.run(build, cwd=ROOT / "engine", check=True)
    return str(ROOT / "engine" / "target" / "debug" / "examples" / "soak_load")


@pytest.fixture
def children() -> Iterator[list["subprocess.Popen[str]"]]:
    children: list[subprocess.Popen[str]] = []
    yield children
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def transfer(
    program: str, children: list["subprocess.Popen[str]"]
) -> Callable[[str, Alter], tuple[str, str]]:
    def start(*words: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        children.append(subprocess.Popen([program, *words], stdout=pipe, stderr=pipe, text=True))
        return children[-1]

    def transferred(kind: str, alter: Alter) -> tuple[str, str]:
        """Send by way of a middle that alters; what the receiver said, and its complaint."""
        job = (kind, "7", f"{BYTES}")
        receiver = start("receive", LOCAL, *job)
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline().split()[1])
        tcp = kind == "stream"
        with closing(socket.socket(type=socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)) as middle:
            middle.bind((LOCAL, 0))
            middle.settimeout(TURN_S)
            if tcp:
                middle.listen()
            over = threading.Event()
            pass_on = _pass_on_stream if tcp else _pass_on_datagrams
            thread = threading.Thread(target=pass_on, args=(middle, port, alter, over))
            thread.start()
            try:
                start("send", f"{LOCAL}:{middle.getsockname()[1]}", *job)
                said, complaint = receiver.communicate(timeout=WAIT_S)
            finally:
                over.set()
                thread.join(WAIT_S)
        return said, complaint

    return transferred


def _pass_on_stream(middle: socket.socket, port: int, alter: Alter, over: threading.Event) -> None:
    middle.settimeout(WAIT_S)
    at = 0
    incoming, _ = middle.accept()
    with incoming, socket.create_connection((LOCAL, port)) as outgoing:
        try:
            while not over.is_set() and (piece := incoming.recv(65536)):
                for data in alter(at, piece):
                    outgoing.sendall(data)
                at += len(piece)
        except OSError:
            pass  # the receiver has complained and is gone


def _pass_on_datagrams(middle: socket.socket, port: int, alter: Alter, over: threading.Event) -> None:
    number, sender = 0, None
    receiver = (LOCAL, port)
    while not over.is_set():
        try:
            data, source = middle.recvfrom(65536)
        except TimeoutError:
            continue
        if source == receiver and sender:
            middle.sendto(data, sender)
            continue
        sender = source
        for one in alter(number, data):
            middle.sendto(one, receiver)
        number += 1


def as_it_is(_at: int, data: bytes) -> list[bytes]:
    return [data]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("kind", ["stream", "datagrams", "fragments"])
def test_what_arrives_as_it_was_sent_is_told(
    transfer: Callable[[str, Alter], tuple[str, str]], kind: str
) -> None:
    said, complaint = transfer(kind, as_it_is)
    assert complaint == ""
    assert json.loads(said)["bytes"] >= BYTES


def test_an_altered_byte_of_a_stream_is_found(transfer: Callable[[str, Alter], tuple[str, str]]) -> None:
    def alter(at: int, piece: bytes) -> list[bytes]:
        wanted = 1_234_567 - at
        return [flipped(piece, wanted) if 0 <= wanted < len(piece) else piece]

    assert "other bytes from 1234567 on" in transfer("stream", alter)[1]


def test_a_stream_that_ends_early_is_found(transfer: Callable[[str, Alter], tuple[str, str]]) -> None:
    _, complaint = transfer("stream", lambda at, piece: [piece[: max(0, BYTES - 1 - at)]])
    assert f"{BYTES - 1} bytes of {BYTES}" in complaint


@pytest.mark.parametrize(
    ("alter", "complaint"),
    [
        (lambda number, data: [flipped(data, len(data) - 1) if number == 100 else data], "other bytes from"),
        (lambda number, data: [data, data] if number == 100 else [data], "came twice"),
        (lambda number, data: [data[:-1] if number == 100 else data], "bytes in place of"),
    ],
    ids=["altered", "doubled", "shortened"],
)
def test_a_datagram_that_is_not_as_it_was_sent_is_found(
    transfer: Callable[[str, Alter], tuple[str, str]], alter: Alter, complaint: str
) -> None:
    assert complaint in transfer("datagrams", alter)[1]


def test_datagrams_that_are_lost_or_late_are_told_and_no_fault(
    transfer: Callable[[str, Alter], tuple[str, str]],
) -> None:
    held: list[bytes] = []

    def alter(number: int, data: bytes) -> list[bytes]:
        match number:
            case 5:
                held.append(data)
                return []
            case 6:
                return [data, *held]
            case 30 | 31 | 32:
                return []
            case _:
                return [data]

    said, complaint = transfer("datagrams", alter)
    assert complaint == ""
    found = json.loads(said)
    assert found["late"] == 1
    assert found["resent"] >= 1
    assert found["bytes"] >= BYTES
