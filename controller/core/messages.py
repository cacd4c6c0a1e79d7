"""What happens to a controller (events) and what it wants done (commands). Pure.

Commands are carried out in order: what is to be persisted stands before what is sent because of it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from msgspec.structs import replace

from controller.core.changes import Changes, RouteEvent
from controller.core.instant import Instant as Instant
from controller.core.rows import RouteRows
from controller.policy.rules import ANYWHERE, Pin, Place, Policy
from controller.topology.reports import Report
from overlayd.model.ids import Generation, NodeId
from overlayd.model.node import NodeRecord, SignedRecord, SignedRevocation, Uplink
from overlayd.model.service import ServiceClass
from overlayd.protocol.controller import Hello, Mesh, Switched, Telemetry
from overlayd.protocol.reflexive import Sightings
from overlayd.protocol.routes import NO_ROUTES, CompactMesh, RouteColumns

# Events


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A member: new, or changed (its record was signed anew). ``price_per_gb`` is what a GB sent from it
    costs; ``place`` what the operator says of it.
    """

    record: NodeRecord
    signed: SignedRecord
    uplinks: tuple[Uplink, ...] = ()
    price_per_gb: float = 0.0
    place: Place = ANYWHERE


@dataclass(frozen=True, slots=True)
class Pinned:
    """All paths that are pinned by hand from now on; those that were before and are not among them are
    free.
    """

    pins: tuple[Pin, ...]


@dataclass(frozen=True, slots=True)
class Ruled:
    """How the paths of each class are chosen from now on. The classes are those there were, by number and
    name.
    """

    services: tuple[ServiceClass, ...]
    policies: tuple[Policy, ...]


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
    """The routes that the previous run left in force, by source. Comes after the members."""

    routes: tuple[tuple[NodeId, RouteColumns], ...]


@dataclass(frozen=True, slots=True)
class Connected:
    """The agent of ``node`` opened its channel, from the address ``host``, and said hello."""

    node: NodeId
    hello: Hello
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The agent's channel closed. The node may well be forwarding still."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Received:
    """What ``node`` says, from its authenticated channel."""

    node: NodeId
    message: Telemetry | Report | Switched | Sightings


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; due at `Controller.poll_timeout`, harmless at any other time."""


Event: TypeAlias = (
    Enrolled | Removed | Revocations | Restored | Pinned | Ruled | Connected | Disconnected | Received | Tick
)

# Commands


@dataclass(frozen=True, slots=True)
class Send:
    """Give ``mesh`` with the routes in ``rows`` to the agent of ``node``; if its channel is gone, it is lost
    (its next hello says what it holds).
    """

    node: NodeId
    mesh: Mesh
    rows: RouteRows | None

    @property
    def message(self) -> Mesh:
        """The mesh with its routes one by one."""
        return self.mesh if self.rows is None else replace(self.mesh, routes=self.rows.routes())

    @property
    def compact(self) -> CompactMesh:
        """The mesh with its routes as columns."""
        return CompactMesh(self.mesh, NO_ROUTES if self.rows is None else self.rows.pack())


@dataclass(frozen=True, slots=True)
class Persist:
    """Keep this, in one transaction, before any later command. ``routes`` are all there are now from their
    sources.
    """

    generation: Generation
    routes: tuple[RouteRows, ...] = ()
    changes: Changes | None = None
    events: tuple[RouteEvent, ...] = ()


Command: TypeAlias = Send | Persist
