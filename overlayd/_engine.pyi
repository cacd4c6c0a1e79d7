"""Typed stub of the native module; `make check` compares it with the built one."""

from collections.abc import Sequence
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_Costs: TypeAlias = NDArray[np.float32]
_Nodes: TypeAlias = NDArray[np.int16]

__all__ = [
    "Engine",
    "LinkEmulator",
    "PathSearch",
    "SimulatedWorld",
    "SnapshotRefused",
    "open_tun",
    "open_udp",
    "public_key",
    "version",
]

def version() -> str:
    """The version of the engine, the same as the distribution's."""

@final
class LinkEmulator:
    """Links between interfaces of the calling thread's network namespace, running until `stop`."""

    def __new__(cls, config: str) -> LinkEmulator:
        """Start; ValueError for a faulty JSON `config`, OSError for an interface that cannot be opened."""

    def set(self, name: str, settings: str) -> None:
        """Change one direction while it runs; KeyError: unknown name, ValueError: faulty JSON `settings`."""

    def counters(self) -> str:
        """Counters of every direction, a JSON object by name."""

    def stop(self) -> None:
        """Stop carrying packets; OSError with what ended the links before, if anything did."""

@final
class PathSearch:
    """One class's links, laid out for searches of cheapest paths of at most two relays.

    Matrices are C-contiguous float32, infinite where a link cannot be used: `direct` [n, n] as the whole
    path, `to_relay` [n, k] and `from_relay` [k, n] within one; `relays` [k] int16 are the relays' nodes,
    `passage` [k] what each costs. A path whose RTT (`rtt` [n, n], `per_relay` for each relay) is above
    `limit` [n, n] costs `penalty` more. Exact over all single relays and over all pairs of relays whose
    second is one of the `second` most useful. Searches run without the GIL.

    ValueError where shapes do not fit together.
    """

    def __new__(
        cls,
        direct: _Costs,
        relays: _Nodes,
        passage: _Costs,
        to_relay: _Costs,
        from_relay: _Costs,
        *,
        rtt: _Costs | None = None,
        limit: _Costs | None = None,
        per_relay: float = 0.0,
        penalty: float = 0.0,
        second: int = 64,
        threads: int = 2,
    ) -> PathSearch: ...
    def second_relays(self) -> list[int]:
        """The nodes that may be second relays, most useful first."""

    def best(self, avoid: _Nodes | None = None) -> tuple[bytes, bytes]:
        """Of each pair the cheapest path that shares nothing with its paths in `avoid` [from, to, ≤ 2, 2].

        Costs [from, to] of float32 and relays [from, to, 2] of int16: −1 no relay, −2 first: no path.
        """

    def disjoint(self, start: int, stop: int, costs: _Costs, relays: _Nodes, count: int) -> None:
        """Put the cheapest disjoint paths of each pair from sources `start` to `stop`, by successive removal,
        into `costs` [from, to, path] and `relays` [from, to, path, 2].
        """

    def paths(self) -> tuple[bytes, bytes]:
        """Three disjoint paths of all pairs, as `disjoint` gives them; kept up to date by `update`."""

    def update(
        self, start: int, end: int, direct: float, link: float, rtt: float = 0.0
    ) -> list[tuple[int, int]]:
        """Change one link; the pairs whose `paths`, or what these cost, changed, once these were asked for.
        Second relays stay.
        """

    def is_current(self) -> bool:
        """Whether, after updates, a search made anew would have the same second relays: the same answers."""

    def limit(self, limits: list[tuple[int, int, float]]) -> list[tuple[int, int]]:
        """Change limits of pairs: from, to, limit; the pairs whose `paths`, or what these cost, changed."""

class SnapshotRefused(ValueError):
    """A snapshot was wrong; `args` are (field, problem). Nothing of it is in force."""

def open_tun(name: str) -> int:
    """A descriptor of a queue of the TUN `name`, which is made if it is not there.

    FileNotFoundError without /dev/net/tun, PermissionError without CAP_NET_ADMIN, ValueError for a bad name.
    """

def open_udp(address: str, port: int) -> int:
    """A descriptor of the UDP socket of an uplink, bound. OSError with EADDRINUSE, EADDRNOTAVAIL, …"""

def public_key(private_key: bytes) -> bytes:
    """The X25519 public key, 32 bytes; ValueError unless `private_key` has 32 bytes, too."""

@final
class Engine:
    """The packet threads of a host, running until `stop`. Descriptors stay the caller's."""

    def __new__(
        cls,
        shards: Sequence[tuple[int, Sequence[int]]],
        private_key: bytes,
        boot: int,
        *,
        key_log: bool = False,
        tun_checksum: bool = True,
        tun_segmentation: bool = True,
        udp_gso: bool = True,
        udp_gro: bool = True,
        tun_udp_segmentation: bool = True,
        spin_us: int = 0,
        fault_tun_segmentation: int = 0,
        fault_udp_gso: int = 0,
    ) -> Engine:
        """Start. `shards`: a queue of the TUN and the uplinks' sockets each, in the order of snapshots.

        `boot` is larger at each start of the node. `spin_us`: the longest time to wait awake. For tests:
        after `fault_…` uses an offload fails; 0: never.
        """

    def apply(self, snapshot: bytes) -> None:
        """Put a snapshot (JSON) in force, whole or not at all; SnapshotRefused: the last one stays."""

    def event_fd(self) -> int:
        """A descriptor that is readable while events wait; the engine's own, not to be closed."""

    def events(self) -> list[bytes]:
        """What has happened since the last call, oldest first: the JSON of an event each."""

    def counters(self) -> bytes:
        """Totals since the start as JSON: for each shard {"node": …, "shell": …}."""

    def ticks(self) -> list[int]:
        """Of each shard: grows at least once a second while its thread is well."""

    def stop(self) -> None:
        """End the packet threads. Again: nothing."""

@final
class SimulatedWorld:
    """Nodes, wires and streams in virtual time: nanoseconds since the start. A run follows from `seed`
    and the calls.

    ValueError for faulty arguments (of a snapshot: `field: problem`), KeyError for a node, wire or
    stream that does not exist.
    """

    def __new__(cls, seed: int) -> SimulatedWorld: ...
    def add_node(self, private_key: bytes, uplinks: list[str]) -> int:
        """Add and start a node with a UDP socket per endpoint such as `10.0.0.1:51900`; its index."""

    def set_wire(self, source: str, destination: str, settings: str) -> None:
        """Lay a wire from one endpoint to another, or change it; `settings` is JSON as of the link
        emulator.
        """

    def wire_counters(self, source: str, destination: str) -> str:
        """Counters of a wire as a JSON object."""

    def apply(self, node: int, snapshot: str) -> None:
        """Hand a node its tables when the next step begins: JSON of `overlayd.protocol.engine.Snapshot`. That
        step ends with what the node says against them.
        """

    def stop(self, node: int) -> None:
        """The host dies."""

    def start(self, node: int) -> None:
        """The host comes back with an empty engine."""

    def add_stream(self, stream: str) -> int:
        """Start a stream described by JSON; its index."""

    def stream_report(self, stream: int, from_ns: int, until_ns: int) -> str:
        """The receiver's account of the packets sent in `[from_ns, until_ns)`, a JSON object."""

    def counters(self, node: int) -> str:
        """Totals of a node's engine, a JSON object."""

    def begin_step(self, until_ns: int) -> None:
        """Let time pass in a thread of its own; until :meth:`end_step` only :meth:`apply` may be called."""

    def end_step(self) -> list[tuple[int, int, bytes]]:
        """Wait for the step; what nodes reported: (time, node, JSON of an event)."""

    def now_ns(self) -> int:
        """Time since the start."""

    def digest(self) -> str:
        """A hash of all deliveries and events so far, in hex."""
