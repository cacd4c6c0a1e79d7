"""Agent and controller: msgpack frames over one WebSocket (mutual TLS 1.3), and the join that comes before
it.

Rates are bit/s, RTTs and jitter milliseconds, ratios 0..1, times Unix seconds unless the name says
otherwise. A node may only speak of itself: the controller takes the sender's id from its certificate.
"""

from typing import TypeAlias

import msgspec

from overlayd.model.ids import Generation, NodeId, Path
from overlayd.model.node import SignedRecord, SignedRevocation, Uplink
from overlayd.model.route import Route
from overlayd.model.service import ServiceClass
from overlayd.protocol.reflexive import Sightings

PROTOCOL = 1
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_UNAUTHENTICATED_BYTES = 64 * 1024


# Joining: TLS without a client certificate, the controller's CA pinned by the token


class JoinRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="join"):
    """``csr`` is PEM for the agent's own TLS key; ``public_key`` the engine's X25519 key in hex;
    ``prefixes`` what it wants to announce.
    """

    token: str
    name: str
    csr: str
    public_key: str
    prefixes: tuple[str, ...] = ()


class Joined(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="joined"):
    """``certificate`` and ``ca`` are PEM chains; ``signer`` the Ed25519 public key (hex) that signs
    records.
    """

    certificate: str
    ca: str
    signer: str
    record: SignedRecord


class Denied(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="denied"):
    """``code`` is for programs (``token-used``, ``token-expired``, ``name-taken``, ``address-taken`` …),
    ``problem`` for people.
    """

    code: str
    problem: str


# Agent to controller


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="hello"):
    """First message: what this node is now, the newest mesh generation it holds (0: none), and the newest
    revocation: a controller restored from an older copy learns of it again.
    """

    protocol: int
    version: str
    uplinks: tuple[Uplink, ...]
    prefixes: tuple[str, ...]
    generation: Generation
    revocation: SignedRevocation | None = None


class LinkSample(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One neighbour, best living link, over one frame. None: no fresh sample, or nothing was sent that could
    tell.

    ``rtt_mean_ms`` is the mean of all samples, ``rtt_q50_ms`` and ``rtt_q90_ms`` are quantiles of the frame's
    reports (seconds); ``residual_in_ratio`` is what repair could not bring back of what came in;
    ``capacity_bps`` what the link is found to carry, ``load_bps`` what was sent on it. An agent that
    is older leaves the last five out.
    """

    peer: NodeId
    up: bool
    samples: int
    rtt_min_ms: float | None
    rtt_mean_ms: float | None
    jitter_ms: float | None
    loss_out_ratio: float | None
    loss_in_ratio: float | None
    delivered_bps: int
    rtt_q50_ms: float | None = None
    rtt_q90_ms: float | None = None
    residual_in_ratio: float | None = None
    capacity_bps: int | None = None
    load_bps: int | None = None


class PathSample(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A path in use: RTT and loss after repair, end to end."""

    destination: NodeId
    class_id: int
    path: Path
    active: bool
    rtt_mean_ms: float | None
    loss_ratio: float | None


class Telemetry(
    msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="type", tag="telemetry"
):
    """Sent every ``telemetry_interval`` seconds, and at once with ``urgent`` when a link degrades, goes
    down or comes back.
    """

    urgent: bool
    frame_seconds: float
    links: tuple[LinkSample, ...]
    paths: tuple[PathSample, ...] = ()


class Switched(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="switched"):
    """The node moved traffic by itself (``by`` is ``engine`` or ``agent``)."""

    destination: NodeId
    class_id: int
    before: Path
    after: Path
    by: str
    reason: str


class RenewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="renew"):
    csr: str


class Leave(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="leave"):
    """The node leaves for good: certificate and record are revoked, its name becomes free."""


FromAgent: TypeAlias = Hello | Telemetry | Switched | Sightings | RenewRequest | Leave


# Controller to agent

PROBE_BUDGET = 1_000_000
"""Bytes per second, where the operator says nothing."""


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all nodes share. ``psk`` is 32 bytes in hex. ``probe_budget`` is what a node sends of probes and
    answers at most, in bytes per second.
    """

    id: int
    suite: str
    psk: str
    name: str
    classes: tuple[ServiceClass, ...]
    telemetry_interval: float = 15.0
    probe_budget: int = PROBE_BUDGET


class PeerInfo(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    record: SignedRecord
    uplinks: tuple[Uplink, ...]


class Mesh(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
    tag="mesh",
):
    """A new generation. ``base`` 0: complete.

    Otherwise the change since ``base``: what is not named stays; ``removed`` peers go.

    ``routes`` are those with this node as ingress. ``revocations`` are the newest of each node that was ever
    revoked; one that is held stays in force, whatever a later mesh says.

    ``neighbours`` are those to keep links with, and so to probe: () everyone; None as before, and everyone
    where it is complete. It is left out in a mesh that never was too large for all to probe all; an agent
    that is older would refuse it.
    """

    generation: Generation
    base: Generation
    network: NetworkConfig | None
    peers: tuple[PeerInfo, ...]
    removed: tuple[NodeId, ...]
    routes: tuple[Route, ...]
    routes_removed: tuple[tuple[NodeId, int], ...] = ()
    revocations: tuple[SignedRevocation, ...] = ()
    neighbours: tuple[NodeId, ...] | None = None


class Renewed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="renewed"):
    certificate: str
    record: SignedRecord


class Revoked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="revoked"):
    """This node is no longer a member. It tears its mesh down and stays stopped."""

    problem: str


ToAgent: TypeAlias = Mesh | Renewed | Revoked | Denied
