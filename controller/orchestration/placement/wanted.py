"""What one app asks of where it runs. Pure data.

Resources go by name: ``cpu`` in thousandths of a core, ``memory`` and ``disk`` in bytes, ``mbps`` in Mbit/s,
and any device by a name of its own, in pieces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Spread: TypeAlias = Literal["node", "region", "none"]
CLOUD_LABEL = "overlayd.io/cloud"
"""Nodes that have it, whatever its value, are the cloud."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How users are to be served: ``latency_ms`` and ``jitter_ms`` of the round trip from where they are,
    ``mbps``, ``loss`` 0..1; each None where nothing is asked. ``satisfy``: the share of users, 0..1.
    """

    latency_ms: float | None = None
    jitter_ms: float | None = None
    mbps: float | None = None
    loss: float | None = None
    satisfy: float = 0.95

    @property
    def any(self) -> bool:
        """Whether anything is asked."""
        return any(one is not None for one in (self.latency_ms, self.jitter_ms, self.mbps, self.loss))


@dataclass(frozen=True, slots=True)
class Weights:
    """What counts how much, in ms of a user's delay: ``latency`` a ms; ``cost`` a price of 1 an hour;
    ``reliability`` a node that is down, or a path that loses, all the time; ``balance`` a node that is full.
    """

    latency: float = 1.0
    cost: float = 10.0
    reliability: float = 1000.0
    balance: float = 2.0


POLICIES: Mapping[str, Weights] = {
    "latency-first": Weights(),
    "cost-first": Weights(latency=0.1, cost=1000.0),
    "reliability-first": Weights(reliability=20_000.0),
    "balanced": Weights(latency=0.5, cost=100.0, reliability=5000.0, balance=20.0),
}
"""``weighted`` is that of who asks: each number times that of :data:`BALANCED`."""
BALANCED = POLICIES["balanced"]


def weights_of(policy: str, own: Mapping[str, float] | None = None) -> Weights:
    """Return the weights of a policy; those of ``weighted`` are ``own``, as multiples of ``balanced``, where
    what is not named does not count. Raises ``KeyError`` for a policy that there is not.
    """
    if policy != "weighted":
        return POLICIES[policy]
    given = own or {}
    return Weights(
        latency=BALANCED.latency * given.get("latency", 0.0),
        cost=BALANCED.cost * given.get("cost", 0.0),
        reliability=BALANCED.reliability * given.get("reliability", 0.0),
        balance=BALANCED.balance * given.get("balance", 0.0),
    )


@dataclass(frozen=True, slots=True)
class Toleration:
    """As Kubernetes': an empty ``key`` with ``Exists`` tolerates everything, an empty ``effect`` any."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """``name`` and all other apps' names are ``NAMESPACE/NAME``, so is ``users``, the group that is to be
    served well; None: nobody in particular. ``near`` are apps that it talks to. ``requests`` are of each
    replica. ``together`` and ``apart`` are apps on whose nodes it has to run, or may not. ``max_price`` is
    the most that a node may cost an hour. ``dwell_s``: so long it stays, unless it is served badly.
    """

    name: str
    requests: Mapping[str, float] = field(default_factory=dict[str, float])
    least: int = 1
    most: int = 1
    spread: Spread = "node"
    weights: Weights = POLICIES["latency-first"]
    users: str | None = None
    near: tuple[str, ...] = ()
    bounds: Bounds = Bounds()
    regions: tuple[str, ...] = ()
    avoid_regions: tuple[str, ...] = ()
    selector: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerations: tuple[Toleration, ...] = ()
    together: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    max_price: float | None = None
    runtime: str = ""
    """What a node has to have to run it (``docker``); empty: nothing."""
    cloud: bool = False
    """Whether cloud nodes take it where no other node does well enough (``fallback: cloud``)."""
    dwell_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """Where an app runs: a node for each replica, and for how long it has been as it is."""

    nodes: tuple[str, ...] = ()
    age_s: float = float("inf")


NOWHERE = Held()
