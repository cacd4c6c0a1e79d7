"""Hosts of a test: a namespace each, joined by veth pairs, with a real engine and a hand-made agent's end."""

import os
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from overlayd._engine import public_key
from overlayd.model.service import RepairRow
from overlayd.protocol import engine
from overlayd.protocol.framing import FrameReader, encode_frame
from sim.lab import netns, process

WAIT_S = 120.0
PORT = 51900
PSK = "5a" * 32
CLASSES = (
    engine.Class(
        name="interactive",
        deadline_ms=100,
        retransmit=True,
        repair=(RepairRow(0.01, 0.0), RepairRow(1.0, 0.2)),
        repair_cap_ratio=0.2,
    ),
)


@dataclass
class Host:
    """``number`` gives a host its names and addresses: underlay 192.0.2.N or 2001:db8::N, overlay 10.90.0.N
    and fd90::N.
    """

    number: int
    directory: Path
    ipv6_underlay: bool = False
    announced: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    shards: int = 1
    namespace: str = field(init=False)

    def __post_init__(self) -> None:
        self.namespace = f"ovd-eng{os.getpid()}-{self.number}"
        self.private_key = bytes([self.number]) * 32
        self.public_key = public_key(self.private_key).hex()
        self.underlay = f"2001:db8::{self.number}" if self.ipv6_underlay else f"192.0.2.{self.number}"
        self.addresses = (f"10.90.0.{self.number}", f"fd90::{self.number}")
        self.prefixes = (f"{self.addresses[0]}/32", f"{self.addresses[1]}/128", *self.announced)
        self.state = self.directory / f"state{self.number}"
        self.socket = self.directory / f"run{self.number}" / "engine.sock"
        self.log = self.directory / f"engine{self.number}.log"
        self.config = self.directory / f"overlayd{self.number}.toml"
        self.interface = f"ov{self.number}"

    def write_files(self) -> None:
        """Lay out configuration and identity."""
        (self.state / "engine").mkdir(parents=True)
        (self.state / "engine" / "identity.key").write_text(self.private_key.hex())
        self.config.write_text(
            f'[node]\nname = "host{self.number}"\nstate_dir = "{self.state}"\n'
            f'runtime_dir = "{self.socket.parent}"\n'
            f'[engine]\ninterface = "{self.interface}"\nshards = {self.shards}\n'
            f'[[uplink]]\nname = "wan"\naddress = "{self.underlay}"\nport = {PORT}\n'
        )

    def command(self, role: str = "engine") -> list[str]:
        """Return the command line of a role."""
        flags = [word for setting in self.settings for word in ("--set", setting)]
        return [sys.executable, "-m", "overlayd.cli.daemon", role, "--config", str(self.config), *flags]

    def start(self) -> process.Process:
        """Start the engine; it may not be ready yet."""
        return process.start(f"engine{self.number}", self.namespace, self.command(), self.log)

    def run(self, *command: str, timeout_s: float = 60.0) -> str:
        """Run a command to its end; answers what it wrote."""
        return process.run(self.namespace, command, timeout_s)

    @property
    def endpoint(self) -> str:
        return f"[{self.underlay}]:{PORT}" if self.ipv6_underlay else f"{self.underlay}:{PORT}"


class Agent:
    """An agent's end of the engine's socket, spoken by hand."""

    def __init__(self, path: Path) -> None:
        self._socket = connect(path)
        self._frames = FrameReader()
        self._unread: list[engine.FromEngine] = []
        self._passed: deque[engine.LinkState] = deque()
        self._decoder = msgspec.json.Decoder(engine.FromEngine)
        self.send(engine.Hello())
        welcome = self.next()
        assert isinstance(welcome, engine.Welcome), welcome
        self.welcome = welcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, message: engine.ToEngine) -> None:
        """Send a message."""
        self.send_raw(msgspec.json.encode(message))

    def send_raw(self, payload: bytes) -> None:
        """Send any bytes as a frame."""
        self._socket.sendall(encode_frame(payload))

    def next(self) -> engine.FromEngine:
        """Return the next message. EOFError: the engine has closed the socket."""
        while not self._unread:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError
            self._unread = [self._decoder.decode(frame) for frame in self._frames.feed(data)]
        return self._unread.pop(0)

    def answer(self) -> engine.Applied | engine.Refused:
        """Return the next answer to a snapshot; of events before it, links' states are kept for who waits."""
        while not isinstance(message := self.next(), engine.Applied | engine.Refused):
            if isinstance(message, engine.LinkState):
                self._passed.append(message)
        return message

    def apply(self, snapshot: engine.Snapshot) -> engine.Applied | engine.Refused:
        """Push a snapshot; return the answer."""
        self.send(engine.Apply(snapshot))
        return self.answer()

    def wait_up(self, links: int = 1) -> None:
        """Wait until so many links have come up; each lane of one counts."""
        self._wait_for("up", links)

    def wait_down(self, links: int = 1) -> None:
        """Wait until so many have gone down."""
        self._wait_for("down", links)

    def _wait_for(self, state: str, links: int) -> None:
        found: set[tuple[int, int]] = set()
        while len(found) < links:
            match self._passed.popleft() if self._passed else self.next():
                case engine.LinkState(link=link, lane=lane, state=now) if now == state:
                    found.add((link, lane))
                case engine.LinkState(link=link, lane=lane):
                    found.discard((link, lane))
                case _:
                    pass


def connect(path: Path) -> socket.socket:
    """Connect to an engine that may still be starting."""
    deadline = WAIT_S / 0.05
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(WAIT_S)
        try:
            client.connect(str(path))
            return client
        except OSError:
            client.close()
            deadline -= 1
            if deadline <= 0:
                raise
            time.sleep(0.05)


def snapshot(host: Host, others: Sequence[Host], generation: int = 1) -> engine.Snapshot:
    """A full mesh of direct links and paths, as seen from ``host``."""
    return engine.Snapshot(
        schema=engine.SCHEMA,
        generation=generation,
        route_generation=1,
        network=engine.Network(id=7, suite="aes256-gcm", psk=PSK),
        node=engine.Local(host.number, f"host{host.number}", host.addresses, host.prefixes, relay=True),
        peers=tuple(
            engine.Peer(
                other.number,
                f"host{other.number}",
                other.public_key,
                other.prefixes,
                relay=True,
                lanes=other.shards,
            )
            for other in others
        ),
        links=tuple(
            engine.Link(
                id=other.number,
                peer=other.number,
                uplink=0,
                remote=other.endpoint,
                lane=0,
                mtu=1500,
                rate_bps=None,
                preference=0,
            )
            for other in others
        ),
        classes=CLASSES,
        classifiers=(),
        routes=tuple(engine.Route(other.number, 0, ((other.number,),)) for other in others),
    )


def make_pair(stack: ExitStack, a: Host, b: Host) -> None:
    """Make two hosts, joined by a veth pair; ``stack`` removes them."""
    for host in (a, b):
        host.write_files()
        netns.create(host.namespace)
        stack.callback(netns.remove, host.namespace)
        stack.callback(process.stop_all_in, host.namespace)
    netns.add_veth((a.namespace, "wan"), (b.namespace, "wan"), mtu=1500)
    for host in (a, b):
        nodad = ("nodad",) if host.ipv6_underlay else ()
        length = 64 if host.ipv6_underlay else 24
        host.run("ip", "address", "add", f"{host.underlay}/{length}", "dev", "wan", *nodad)
        netns.wait_for_carrier(host.namespace, WAIT_S)
