"""What happens to a controller (events) and what it wants done (commands). Pure.

Commands are carried out in order: what is to be persisted stands before what is sent because of it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from controller.topology.reports import Report
from overlayd.model.ids import Generation, NodeId, Path
from overlayd.model.node import NodeRecord, SignedRecord, SignedRevocation, Uplink
from overlayd.model.route import Route
from overlayd.protocol.controller import Hello, Mesh, Switched, Telemetry


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on two clocks. Decisions use ``monotonic_ns`` alone; ``unix_s`` is for people and may
    jump.
    """

    monotonic_ns: int
    unix_s: float


# Events


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A member: new, or changed (its record was signed anew). ``price_per_gb`` is what a GB sent from it
    costs.
    """

    record: NodeRecord
    signed: SignedRecord
    uplinks: tuple[Uplink, ...] = ()
    price_per_gb: float = 0.0


@dataclass(frozen=True, slots=True)
class Removed:
    """A node is no member any more."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Revocations:
    """Who was revoked, each with its newest revocation: agents are to refuse its older records."""

    newest: tuple[tuple[NodeId, SignedRevocation], ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """The routes that the previous run left in force, as (source, route). Comes after the members."""

    routes: tuple[tuple[NodeId, Route], ...]


@dataclass(frozen=True, slots=True)
class Connected:
    """The agent of ``node`` opened its channel and said hello."""

    node: NodeId
    hello: Hello


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The agent's channel closed. The node may well be forwarding still."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Received:
    """A message about ``node`` itself, from its authenticated channel."""

    node: NodeId
    message: Telemetry | Report | Switched


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; due at `Controller.poll_timeout`, harmless at any other time."""


Event: TypeAlias = Enrolled | Removed | Revocations | Restored | Connected | Disconnected | Received | Tick

# Commands


@dataclass(frozen=True, slots=True)
class Send:
    """Give ``message`` to the agent of ``node``; if its channel is gone, it is lost (its next hello says
    what it holds).
    """

    node: NodeId
    message: Mesh


@dataclass(frozen=True, slots=True)
class RouteEvent:
    """One change of the paths from ``source``, by ``decider`` (``controller``, ``agent`` or ``engine``);
    ``at`` is Unix seconds.

    ``before`` and ``after`` are the primaries; ``route`` holds the figures of a controller's decision.
    """

    at: float
    source: NodeId
    destination: NodeId
    class_id: int
    decider: str
    before: Path | None
    after: Path | None
    reason: str
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class Persist:
    """Keep this, in one transaction, before any later command. ``dropped`` are (source, destination,
    class).
    """

    generation: Generation
    routes: tuple[tuple[NodeId, Route], ...] = ()
    dropped: tuple[tuple[NodeId, NodeId, int], ...] = ()
    events: tuple[RouteEvent, ...] = ()


Command: TypeAlias = Send | Persist
