"""Agent and engine: snapshots down, events up, as JSON frames over one Unix socket.

The Rust side of the same schema is ``engine/node/src/snapshot.rs`` and ``event.rs``. Times are nanoseconds
of the engine's monotonic clock; ratios are 0..1; keys are hex.
"""

from typing import Literal, TypeAlias

import msgspec

from overlayd.model.service import RepairRow

PROTOCOL = 1
SCHEMA = 1


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    suite: Literal["aes256-gcm", "chacha20-poly1305"]
    psk: str


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    name: str
    addresses: tuple[str, ...]
    prefixes: tuple[str, ...]
    relay: bool


class Peer(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """``lanes`` is how many shards its engine has."""

    id: int
    name: str
    public_key: str
    prefixes: tuple[str, ...]
    relay: bool
    lanes: int = 1


class Link(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """``uplink`` is the index of the local uplink; ``remote`` None: the peer calls us. ``reflexive`` is where
    others see the peer behind its NAT: it is called there too.

    It is the link of shard 0. The engine makes those of the others of it: the port and the lane of each.
    """

    id: int
    peer: int
    uplink: int
    remote: str | None
    lane: int
    mtu: int
    rate_bps: int | None
    preference: int
    reflexive: str | None = None


class Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    deadline_ms: int | None
    retransmit: bool
    repair: tuple[RepairRow, ...]
    repair_cap_ratio: float
    disjoint: bool = False
    in_order: bool = False
    weight: int = 1
    priority_ratio: float = 0.0


class Classifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    class_: int = msgspec.field(name="class")
    dscp: int | None = None
    protocol: int | None = None
    port: int | None = None
    prefix: str | None = None
    source: str | None = None
    source_port: int | None = None
    destination: str | None = None
    destination_port: int | None = None


class Route(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    destination: int
    class_: int = msgspec.field(name="class")
    paths: tuple[tuple[int, ...], ...] = ()


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Complete tables; see the Rust side for the meaning of each field. ``probe_budget`` is each shard's."""

    schema: int
    generation: int
    route_generation: int
    network: Network
    node: Local
    peers: tuple[Peer, ...]
    links: tuple[Link, ...]
    classes: tuple[Class, ...]
    classifiers: tuple[Classifier, ...]
    routes: tuple[Route, ...]
    revocation_epoch: int = 0
    probe_budget: int | None = None


# Agent to engine


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    protocol: int = PROTOCOL


class Apply(msgspec.Struct, frozen=True, tag_field="type", tag="apply"):
    snapshot: Snapshot


class Reload(msgspec.Struct, frozen=True, tag_field="type", tag="reload"):
    """The configuration is to be read anew: a trial has begun or ended."""


ToEngine: TypeAlias = Hello | Apply | Reload


# Engine to agent


class EngineUplink(msgspec.Struct, frozen=True):
    """A UDP socket of the engine: index is its place in the list."""

    name: str
    address: str
    port: int


class Welcome(msgspec.Struct, frozen=True, tag_field="type", tag="welcome"):
    """First answer: what the engine is and which snapshot it runs on (generation 0: none).

    Shard *i* has its sockets *i* ports above those of ``uplinks``. ``reflexive``: it knows `Link.reflexive`,
    ``probe_budget``: `Snapshot.probe_budget`; one that is older would refuse it.
    """

    protocol: int
    version: str
    public_key: str
    boot: int
    generation: int
    interface: str
    uplinks: tuple[EngineUplink, ...]
    shards: int = 1
    reflexive: bool = False
    probe_budget: bool = False


class Applied(msgspec.Struct, frozen=True, tag_field="type", tag="applied"):
    generation: int


class Refused(msgspec.Struct, frozen=True, tag_field="type", tag="refused"):
    """The snapshot was wrong at ``field``; the last good one stays in force."""

    generation: int
    field: str
    problem: str


class LinkState(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="link_state"):
    """``lane``, here and in the other events, is the shard that tells."""

    at_ns: int
    generation: int
    link: int
    peer: int
    state: Literal["up", "down"]
    lane: int = 0


class Switch(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="switch"):
    at_ns: int
    generation: int
    destination: int
    class_: int = msgspec.field(name="class")
    from_: tuple[int, ...] = msgspec.field(name="from")
    to: tuple[int, ...]
    reason: Literal["dead", "recovered", "snapshot"]
    lane: int = 0


WAITS_MS = (1, 2, 5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 400, 1000)


class RepairReport(msgspec.Struct, frozen=True, gc=False):
    """Counts of frames since the link's start, of the class. ``missed`` frames were missing in ``bursts``
    runs; ``waits`` says how long those were missed that repair brought: up to each of `WAITS_MS`, and longer.
    """

    class_: int = msgspec.field(name="class")
    sent: int
    retransmitted: int
    repair_sent: int
    received: int
    recovered_by_retransmission: int
    recovered_by_code: int
    lost: int
    bursts: int = 0
    missed: int = 0
    waits: tuple[int, ...] = (0,) * (len(WAITS_MS) + 1)


class QueueReport(msgspec.Struct, frozen=True, gc=False):
    """What waited of one class for a paced link: bytes now, counts of frames since the link's start.

    ``ahead`` of those ``sent`` went before other classes; ``waits`` says how long those waited: up to each of
    `WAITS_MS`, and longer.
    """

    class_: int = msgspec.field(name="class")
    waiting_bytes: int
    sent: int
    ahead: int
    pushed_out: int
    late: int
    waits: tuple[int, ...] = (0,) * (len(WAITS_MS) + 1)


class LinkReport(msgspec.Struct, frozen=True, gc=False):
    link: int
    peer: int
    uplink: int
    remote: str | None
    up: bool
    samples: int
    rtt_min_ns: int | None
    rtt_mean_ns: int | None
    jitter_out_ns: int | None
    jitter_in_ns: int | None
    loss_out_ratio: float | None
    loss_in_ratio: float | None
    delivered_bps: int
    budget_bps: int | None
    mtu: int
    sent_bytes: int
    received_bytes: int
    repair: tuple[RepairReport, ...]
    queues: tuple[QueueReport, ...] = ()


class Links(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="links"):
    """What was measured of links since each was reported last.

    Once a second those that carry traffic, stand by for it, or came up or went down; the others every five.
    """

    at_ns: int
    generation: int
    links: tuple[LinkReport, ...]
    lane: int = 0


class PathReport(msgspec.Struct, frozen=True, gc=False):
    destination: int
    class_: int = msgspec.field(name="class")
    path: tuple[int, ...]
    active: bool
    alive: bool
    samples: int
    rtt_min_ns: int | None
    rtt_mean_ns: int | None
    loss_ratio: float | None


class Paths(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="paths"):
    at_ns: int
    generation: int
    paths: tuple[PathReport, ...]
    lane: int = 0


class Probing(msgspec.Struct, frozen=True):
    """What is spent on probes: ``bytes`` of IP packets since the engine's start, ``rate`` in the last second,
    ``budget`` in any; how long it is between two probes of what is in use, and of an idle link, to keep it.
    """

    bytes: int
    rate: int
    budget: int
    in_use_ns: int
    idle_ns: int


class CountersReport(msgspec.Struct, frozen=True):
    """Totals since the engine's start. ``stranded``: packets sent although no path was alive;
    ``congestion_marks``: packets that bear a mark to their destination; ``advised``: senders that were told
    by ICMP what fits; ``order_waited``: packets that the egress kept for others of their flow,
    ``order_given_up``: gaps that nothing filled in time; ``probing``: None from an engine that has no budget.
    """

    packets_in: int
    packets_out: int
    datagrams_in: int
    datagrams_out: int
    relayed: int
    drops: dict[str, int]
    stranded: int = 0
    congestion_marks: int = 0
    advised: int = 0
    order_waited: int = 0
    order_given_up: int = 0
    probing: Probing | None = None


class Counters(msgspec.Struct, frozen=True, tag_field="type", tag="counters"):
    at_ns: int
    generation: int
    counters: CountersReport
    lane: int = 0


class KeyLog(msgspec.Struct, frozen=True, tag_field="type", tag="key_log"):
    at_ns: int
    scope: str
    peer: int
    receiver_index: int
    suite: str
    key: str
    lane: int = 0


Event: TypeAlias = LinkState | Switch | Links | Paths | Counters | KeyLog
FromEngine: TypeAlias = Welcome | Applied | Refused | Event
