"""An engine that is renewed while packets flow: the new process loads beside the old one. Needs root."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from overlayd.protocol import engine
from sim.lab import process
from tests.network.engines import WAIT_S, Agent, Host, make_pair, snapshot


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end that systemd reads."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(2 * WAIT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield end


def told(systemd: socket.socket, begins: str) -> str:
    """The next message that begins so; descriptors that come along are closed."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(systemd, 4096, 4)
        for descriptor in descriptors:
            os.close(descriptor)
        if message.decode().startswith(begins):
            return message.decode()


def up(stack: ExitStack, a: Host, b: Host, systemd: socket.socket) -> tuple[process.Process, Agent]:
    """``a`` under systemd, ``b`` without it, and the agent's end of ``b``."""
    make_pair(stack, a, b)
    running = a.start()
    told(systemd, "READY=1")
    os.environ.pop("NOTIFY_SOCKET")
    b.start()
    agent_b = stack.enter_context(Agent(b.socket))
    agent_b.apply(snapshot(b, [a]))
    with Agent(a.socket) as agent_a:
        assert agent_a.apply(snapshot(a, [b], generation=5)) == engine.Applied(5)
        agent_a.wait_up()
    agent_b.wait_up()
    return running, agent_b


def reached(host: Host, target: str) -> bool:
    """Whether an echo comes back within a minute."""
    return "bytes from" in host.run("ping", "-c", "1", "-w", "60", target, timeout_s=90)


def test_the_new_process_takes_interface_sockets_and_tables(
    stack: ExitStack, tmp_path: Path, systemd: socket.socket
) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    running, _ = up(stack, a, b, systemd)
    index = "ip", "-oneline", "link", "show", a.interface
    interface = a.run(*index).partition(":")[0]
    os.kill(running.pid, signal.SIGUSR2)
    heir = process.known("heir", int(told(systemd, "MAINPID=").partition("=")[2]))
    told(systemd, "READY=1")
    assert heir is not None and process.alive(heir)
    assert reached(b, a.addresses[0])
    assert a.run(*index).partition(":")[0] == interface
    with Agent(a.socket) as agent_a:
        assert (agent_a.welcome.generation, agent_a.welcome.boot) == (5, 2)
    os.kill(heir.pid, signal.SIGUSR2)
    told(systemd, "MAINPID=")
    told(systemd, "READY=1")
    assert reached(b, a.addresses[0])


def test_packets_pass_while_the_new_process_loads(
    stack: ExitStack, tmp_path: Path, systemd: socket.socket
) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    running, _ = up(stack, a, b, systemd)
    text = a.config.read_text()
    a.config.unlink()
    os.mkfifo(a.config)
    os.kill(running.pid, signal.SIGUSR2)
    with a.config.open("w") as configuration:  # once the new process reads it
        assert reached(b, a.addresses[0])
        assert process.alive(running)
        configuration.write(text)
    told(systemd, "MAINPID=")
    told(systemd, "READY=1")
    assert reached(b, a.addresses[0])


def test_an_heir_that_does_not_come_up_changes_nothing(
    stack: ExitStack, tmp_path: Path, systemd: socket.socket
) -> None:
    a, b = Host(1, tmp_path), Host(2, tmp_path)
    running, _ = up(stack, a, b, systemd)
    good = a.config.read_text()
    a.config.write_text(good + "[engine]\n")
    os.kill(running.pid, signal.SIGUSR2)
    while "goes on as it is" not in a.log.read_text():
        told(systemd, "WATCHDOG=1")
    assert reached(b, a.addresses[0])
    a.config.write_text(good)
    os.kill(running.pid, signal.SIGUSR2)
    told(systemd, "MAINPID=")
    told(systemd, "READY=1")
    assert reached(b, a.addresses[0])
