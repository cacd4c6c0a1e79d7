"""The demo's end points as they run, on loopback."""

import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sim.demo.records import Record
from sim.demo.traffic import make_file

WAIT_S = 120.0


def start(stack: ExitStack, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sim.demo.endpoints", *map(str, words)]
    program = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(program.kill)
    return program


def finish(program: subprocess.Popen[str]) -> Record:
    record = Record()
    output, _ = program.communicate(timeout=WAIT_S)
    record.read(output.splitlines())
    return record


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for_web(port: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        time.sleep(0.05)
    raise AssertionError("the web server does not listen")


def test_every_probe_comes_back_and_both_ends_agree(stack: ExitStack) -> None:
    port = free_port(socket.SOCK_DGRAM)
    reflector = start(stack, "reflect", "127.0.0.1", port)
    # Probes may begin before it listens: those are lost, and the rest has to be enough to stop at.
    prober = start(stack, "probe", "127.0.0.1", port, "--every-us", 5000, "--bytes", 100, "--count", 400)
    sent = finish(prober)
    reflector.terminate()
    seen = finish(reflector)
    assert len(sent.sent) == 400
    assert len(sent.echoes) >= 100
    assert max(sent.echoes) == 399
    assert {(probe.number, probe.sent_ns) for probe in sent.echoes.values()} == seen.seen.keys()
    for probe in sent.echoes.values():
        assert probe.sent_ns == sent.sent[probe.number]
        assert probe.arrived_ns == seen.seen[probe.number, probe.sent_ns]
        assert probe.sent_ns <= probe.arrived_ns <= probe.returned_ns


def test_a_prober_that_is_told_to_end_still_takes_back_what_is_under_way(stack: ExitStack) -> None:
    port = free_port(socket.SOCK_DGRAM)
    start(stack, "reflect", "127.0.0.1", port)
    prober = start(stack, "probe", "127.0.0.1", port, "--every-us", 5000)
    assert prober.stdout is not None
    record = Record()
    while len(record.echoes) < 10:
        record.read([prober.stdout.readline()])
    prober.terminate()
    record.read(prober.stdout)
    assert prober.wait(WAIT_S) == 0
    assert max(record.echoes) == max(record.sent)


def test_without_a_far_end_every_probe_is_lost_and_counted(stack: ExitStack) -> None:
    port = free_port(socket.SOCK_DGRAM)
    record = finish(start(stack, "probe", "127.0.0.1", port, "--every-us", 1000, "--count", 50))
    assert len(record.sent) == 50
    assert not record.echoes


def test_a_download_is_hashed_as_it_is_served(stack: ExitStack, tmp_path: Path) -> None:
    digest = make_file(tmp_path / "file.bin", 3_000_001)
    assert digest == hashlib.sha256((tmp_path / "file.bin").read_bytes()).hexdigest()
    port = free_port(socket.SOCK_STREAM)
    try:
        start(stack, "serve", tmp_path, port)
        wait_for_web(port)
        record = finish(start(stack, "download", f"http://127.0.0.1:{port}/file.bin"))
    finally:
        stack.close()
    assert record.end is not None
    assert (record.end.code, record.end.total, record.end.sha256) == (0, 3_000_001, digest)
    assert record.progress[-1].total == 3_000_001


def test_a_download_that_breaks_says_so(stack: ExitStack) -> None:
    port = free_port(socket.SOCK_STREAM)
    record = finish(start(stack, "download", f"http://127.0.0.1:{port}/file.bin"))
    assert record.end is not None
    assert record.end.code != 0
