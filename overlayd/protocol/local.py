"""Command line and agent: requests and answers as length-prefixed JSON frames over the agent's Unix
socket.

Every request is one frame ``Request``; the answer is one frame ``Answer``. A result is one of the
structs below; each carries ``schema``, its name and version. RTTs are milliseconds, ratios 0..1, times
Unix seconds unless the name says otherwise; None: not measured lately. A schema named
``overlayd.local.…`` is one node's view of what the controller shows of the whole network under the same
name without ``local``.
"""

from typing import Any, Literal, TypeAlias

import msgspec

PROTOCOL = 1
MAX_REQUEST_BYTES = 64 * 1024


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``verb`` names the question (``status``, ``links``, ``routes``, ``explain``, ``trace``, ``nodes``,
    ``top``, ``events``, ``config-diff``, ``config-trial``) or what is to be done (``join``, ``leave``,
    ``config-try``, ``config-end``), ``arguments`` its parameters.
    """

    verb: str
    arguments: dict[str, Any] = {}
    protocol: int = PROTOCOL


class Problem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``code`` maps to an exit code: ``usage`` 2, ``unreachable`` 3, ``not-found`` 4, ``denied`` 5,
    ``degraded`` 6, ``conflict`` 7, ``timeout`` 124, else 1.
    """

    code: str
    message: str


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either ``result`` or ``problem``. ``result`` carries its own ``schema`` name and version."""

    result: dict[str, Any] | None = None
    problem: Problem | None = None


DataPlane: TypeAlias = Literal["alive", "unmeasured", "unknown", "dead"]
"""``alive``: measured now, end to end. ``unmeasured``: the first hop answers, nothing was sent beyond.

``unknown``: the agent or the link is new, and the engine has not told of it; it does within five seconds.
``dead``: none of these.
"""


class ShardStatus(msgspec.Struct, frozen=True):
    """Packets of the interface that one packet thread has read and written since its start."""

    packets_in: int
    packets_out: int


class ProbingStatus(msgspec.Struct, frozen=True):
    """Probes and answers in bytes of IP packets: ``rate`` in the last second that was told of, ``budget`` in
    any; how long it is between two probes of what is in use, and of an idle link, to keep to that.
    """

    rate: int
    budget: int
    in_use_ms: float
    idle_ms: float


class EngineStatus(msgspec.Struct, frozen=True):
    """``generation`` is the snapshot in force (0: none); ``problem`` why the newest one was refused or the
    engine is away. What follows counts since its start and is told every five seconds: ``drops`` by reason,
    ``stranded`` packets (sent although no path was alive), ``congestion_marks`` carried to destinations,
    ``advised`` senders (told by ICMP what fits), ``shards``, and ``probing`` (None: not told).
    """

    connected: bool
    version: str | None = None
    interface: str | None = None
    generation: int = 0
    problem: str | None = None
    drops: dict[str, int] = {}
    stranded: int = 0
    congestion_marks: int = 0
    advised: int = 0
    shards: tuple[ShardStatus, ...] = ()
    probing: ProbingStatus | None = None


class ControllerStatus(msgspec.Struct, frozen=True):
    """``since_s`` is how long it has been connected, or away; ``generation`` is of the mesh that is held."""

    connected: bool
    url: str | None = None
    since_s: float = 0.0
    generation: int = 0
    problem: str | None = None


class PeerStatus(msgspec.Struct, frozen=True):
    """A peer as unmarked traffic (class 0) reaches it now. ``path`` holds names: relays, then the peer.

    ``problem`` says why its path is outside its class's bound.
    """

    node: str
    addresses: tuple[str, ...]
    data_plane: DataPlane
    path: tuple[str, ...]
    rtt_ms: float | None
    loss_ratio: float | None
    links_up: int
    links: int
    problem: str | None = None


class Status(msgspec.Struct, frozen=True):
    """``state``: ``online`` (mesh and controller), ``offline`` (mesh, no controller), ``waiting`` (joined,
    no mesh yet), ``not-joined``, ``revoked``. ``degraded`` holds one sentence for each thing that is not as
    it should be.
    """

    version: str
    node: str
    state: Literal["online", "offline", "waiting", "not-joined", "revoked"]
    engine: EngineStatus
    controller: ControllerStatus
    peers: tuple[PeerStatus, ...] = ()
    degraded: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    certificate_not_after: float | None = None
    schema: str = "overlayd.status/1"


class LinkRow(msgspec.Struct, frozen=True):
    """One link, outgoing direction. ``in_use``: the best living one to its peer."""

    link: int
    peer: str
    uplink: str
    remote: str | None
    up: bool
    in_use: bool
    preference: int
    rtt_ms: float | None
    jitter_ms: float | None
    loss_out_ratio: float | None
    loss_in_ratio: float | None
    delivered_bps: int
    mtu: int


class LinkList(msgspec.Struct, frozen=True):
    links: tuple[LinkRow, ...]
    schema: str = "overlayd.local.links/1"


class NodeRow(msgspec.Struct, frozen=True):
    """A member as this node knows it. Of each uplink: the endpoint that it says, ``reflexive`` where others
    see it instead, ``nat`` of what kind that NAT is (``""``, ``nat``, ``symmetric``).
    """

    id: int
    name: str
    addresses: tuple[str, ...]
    prefixes: tuple[str, ...]
    endpoints: tuple[str | None, ...]
    relay: bool
    self: bool
    not_after: int
    reflexive: tuple[str | None, ...] = ()
    nat: tuple[str, ...] = ()


class NodeList(msgspec.Struct, frozen=True):
    nodes: tuple[NodeRow, ...]
    schema: str = "overlayd.local.nodes/1"


class RouteRow(msgspec.Struct, frozen=True):
    """``paths`` as they are installed, best first, as names; ``in_use`` is what packets take."""

    destination: str
    service: str
    paths: tuple[tuple[str, ...], ...]
    in_use: tuple[str, ...] | None
    decider: str
    reason: str


class RouteList(msgspec.Struct, frozen=True):
    routes: tuple[RouteRow, ...]
    schema: str = "overlayd.local.routes/1"


class CandidateRow(msgspec.Struct, frozen=True):
    """A path that was weighed. ``reason`` is the decider's; ``now`` is what this node has to say since.

    ``measured_*`` are this node's own figures, or else those the decision was made with. ``hold_left_s`` is
    how long it still has to be healthy before it may be used again.
    """

    path: tuple[str, ...]
    verdict: str
    in_use: bool
    rank: int | None
    reason: str
    cost: float | None = None
    forecast_rtt_ms: float | None = None
    measured_rtt_ms: float | None = None
    forecast_loss_ratio: float | None = None
    measured_loss_ratio: float | None = None
    now: str | None = None
    hold_left_s: float | None = None


class Explanation(msgspec.Struct, frozen=True):
    """Why traffic from ``source`` to ``destination`` goes where it goes.

    ``moved`` tells of the agent's last own move.
    """

    source: str
    destination: str
    service: str
    decider: str
    reason: str
    decided_at: float
    candidates: tuple[CandidateRow, ...]
    moved: str | None = None
    schema: str = "overlayd.local.explanation/1"


class HopRow(msgspec.Struct, frozen=True):
    """One hop of the path in use.

    ``lost_ratio`` is what repair could not bring back; ``burst_length`` the mean run of lost packets;
    ``added_p50_ms`` and ``added_p99_ms`` the delay that repair added; ``problem`` why figures are missing.
    """

    start: str
    end: str
    up: bool | None
    rtt_ms: float | None = None
    loss_ratio: float | None = None
    recovered_ratio: float | None = None
    lost_ratio: float | None = None
    repair_ratio: float | None = None
    retransmitted_ratio: float | None = None
    problem: str | None = None
    burst_length: float | None = None
    added_p50_ms: float | None = None
    added_p99_ms: float | None = None


class Trace(msgspec.Struct, frozen=True):
    """The path in use, hop by hop, each from the agents at its ends; ``rtt_ms`` and ``loss_ratio`` end to
    end, after repair.
    """

    destination: str
    service: str
    path: tuple[str, ...]
    hops: tuple[HopRow, ...]
    rtt_ms: float | None
    loss_ratio: float | None
    schema: str = "overlayd.trace/1"


class TopClass(msgspec.Struct, frozen=True):
    """One class of service on a link. ``lost_ratio``: what repair could not bring back of what came in;
    ``redundancy_ratio``: what was sent beside each frame, coded or again; ``waiting_bytes``: for pacing, now.
    """

    service: str
    lost_ratio: float | None
    redundancy_ratio: float | None
    waiting_bytes: int


class TopLink(msgspec.Struct, frozen=True):
    """One link now. ``out_bps`` and ``in_bps`` are bits of datagrams per second, repair and all;
    ``budget_bps`` is what the link is held to be able to.
    """

    peer: str
    uplink: str
    remote: str | None
    up: bool
    in_use: bool
    out_bps: float | None
    in_bps: float | None
    budget_bps: int | None
    rtt_ms: float | None
    loss_out_ratio: float | None
    loss_in_ratio: float | None
    classes: tuple[TopClass, ...]


class TopPath(msgspec.Struct, frozen=True):
    """A path that traffic of one class takes now; RTT and loss end to end, after repair."""

    destination: str
    service: str
    path: tuple[str, ...]
    alive: bool
    rtt_ms: float | None
    loss_ratio: float | None


class TopFlow(msgspec.Struct, frozen=True):
    """Packets of one protocol between two ends (``address:port``; only an address where there is no port),
    in bits of IP packets per second at the overlay's interface.
    """

    protocol: str
    local: str
    remote: str
    out_bps: float
    in_bps: float


class Top(msgspec.Struct, frozen=True):
    """What goes on at one moment: links, the busiest first, and the paths that are in use.

    ``flows`` are counted by who asks, at ``interface``; None: nobody looked, or may look.
    """

    at: float
    links: tuple[TopLink, ...]
    paths: tuple[TopPath, ...]
    interface: str | None = None
    flows: tuple[TopFlow, ...] | None = None
    schema: str = "overlayd.local.top/1"


class EventRow(msgspec.Struct, frozen=True):
    """``number`` grows by one with each event since the agent's start; ``values`` are the event's facts."""

    number: int
    at: float
    level: Literal["info", "warning", "error"]
    event: str
    values: dict[str, str | int | float | bool | None]


class EventList(msgspec.Struct, frozen=True):
    """What happened on this host since ``began``, the start of its agent; the oldest first."""

    began: float
    events: tuple[EventRow, ...]
    schema: str = "overlayd.local.events/1"


class ConfigChange(msgspec.Struct, frozen=True):
    """A key (``uplink[0].rate``), its values as in the file (None: not set). ``live``: needs no restart."""

    key: str
    before: Any
    after: Any
    live: bool


class ConfigDiff(msgspec.Struct, frozen=True):
    """What a configuration would change of what is in force; ``file`` is the one that the agent reads."""

    file: str
    changes: tuple[ConfigChange, ...]
    schema: str = "overlayd.config-diff/1"


class ConfigTrial(msgspec.Struct, frozen=True):
    """Whether a configuration is on trial, for how long still, and the SHA-256 of its text; what has changed.

    ``file`` is the last good one, which is in force again when the trial ends.
    """

    file: str
    on_trial: bool
    left_s: float
    sha256: str | None
    changes: tuple[ConfigChange, ...] = ()
    schema: str = "overlayd.config-trial/1"


class Done(msgspec.Struct, frozen=True):
    """A change that was made."""

    message: str
    schema: str = "overlayd.done/1"


Result: TypeAlias = (
    Status
    | LinkList
    | NodeList
    | RouteList
    | Explanation
    | Trace
    | EventList
    | Top
    | ConfigDiff
    | ConfigTrial
    | Done
)
