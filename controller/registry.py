"""Node objects as the registry keeps and shows them, shaped like Kubernetes API objects.

What lives here: the type and its transitions, each of which returns the next object. Not here:
persistence (`controller.store`), enrolment, and what the planner needs of a node (`controller.core`).
``metadata.generation`` counts changes of ``spec``; ``metadata.resourceVersion`` counts every stored
change and is set by the store. Pure.
"""

from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from overlayd.model.ids import NodeId
from overlayd.model.node import Uplink

API_VERSION = "overlayd.io/v1"
KIND = "Node"

CONNECTED = "Connected"
PREFIXES_ACCEPTED = "PrefixesAccepted"


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """``resource_version`` is opaque to clients: it is only ever compared for equality or handed back."""

    name: str
    uid: str
    creation_timestamp: str
    generation: int = 1
    resource_version: str = "0"
    labels: dict[str, str] = {}


class NodeSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What was granted. ``prefixes`` may be announced, beside ``addresses``; ``price_per_gb`` is what a
    GB sent costs; ``epoch`` is that of the newest revocation when the node joined.
    """

    id: NodeId
    public_key: str
    addresses: tuple[str, ...]
    relay: bool
    prefixes: tuple[str, ...] = ()
    price_per_gb: float = 0.0
    epoch: int = 0


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """``status`` is ``"True"``, ``"False"`` or ``"Unknown"``; ``reason`` for programs, ``message`` for
    people.
    """

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str


class NodeStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What was seen. ``announced`` are the prefixes in force beside the addresses."""

    conditions: tuple[Condition, ...] = ()
    uplinks: tuple[Uplink, ...] = ()
    announced: tuple[str, ...] = ()
    version: str | None = None
    last_seen: str | None = None
    certificate_not_after: str | None = None


class Node(msgspec.Struct, frozen=True, rename="camel"):
    metadata: Metadata
    spec: NodeSpec
    status: NodeStatus = NodeStatus()
    api_version: str = API_VERSION
    kind: str = KIND

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of type ``kind``."""
        return next((c for c in self.status.conditions if c.type == kind), None)

    @property
    def connected(self) -> bool:
        """Whether the agent's channel is open."""
        found = self.condition(CONNECTED)
        return found is not None and found.status == "True"


def timestamp(unix_s: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(int(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def connected(node: Node, uplinks: tuple[Uplink, ...], version: str, unix_s: float) -> Node:
    """The agent's channel opened and it said what it is."""
    status = replace(node.status, uplinks=uplinks, version=version, last_seen=timestamp(unix_s))
    node = replace(node, status=status)
    return with_condition(node, CONNECTED, True, "ChannelOpen", "the agent's channel is open", unix_s)


def disconnected(node: Node, problem: str, unix_s: float) -> Node:
    """The agent's channel closed; its engine may well be forwarding still."""
    return with_condition(node, CONNECTED, False, "ChannelClosed", problem, unix_s)


def seen(node: Node, unix_s: float) -> Node:
    """The agent said something."""
    return replace(node, status=replace(node.status, last_seen=timestamp(unix_s)))


def reached(node: Node, uplinks: tuple[Uplink, ...]) -> Node:
    """Others see its uplinks like this."""
    return replace(node, status=replace(node.status, uplinks=uplinks))


def certified(node: Node, not_after: int) -> Node:
    """A certificate was issued that ends at ``not_after`` (Unix seconds)."""
    return replace(node, status=replace(node.status, certificate_not_after=timestamp(not_after)))


def announcing(node: Node, accepted: tuple[str, ...], refused: tuple[str, ...], unix_s: float) -> Node:
    """The agent announced prefixes, of which ``refused`` were not granted to it or belong to others."""
    node = replace(node, status=replace(node.status, announced=accepted))
    if refused:
        problem = f"not granted to this node, or another's: {', '.join(refused)}"
        return with_condition(node, PREFIXES_ACCEPTED, False, "NotGranted", problem, unix_s)
    return with_condition(
        node, PREFIXES_ACCEPTED, True, "Granted", "all announced prefixes are in force", unix_s
    )


def with_condition(node: Node, kind: str, holds: bool, reason: str, message: str, unix_s: float) -> Node:
    """Set the condition of type ``kind``; its transition time moves only when its status changes."""
    status = "True" if holds else "False"
    before = node.condition(kind)
    since = before.last_transition_time if before and before.status == status else timestamp(unix_s)
    kept = tuple(c for c in node.status.conditions if c.type != kind)
    condition = Condition(kind, status, reason, message, since)
    conditions = tuple(sorted((*kept, condition), key=lambda c: c.type))
    return replace(node, status=replace(node.status, conditions=conditions))
