"""What there is to place apps on: nodes, paths between them, users. Pure data; one moment's.

All arrays are by index of ``World.hosts``. Who builds it: `controller.orchestration.outlook` of a running
controller, `controller.orchestration.replay` of a recorded trace.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.orchestration.placement.problem import F64
from controller.orchestration.placement.wanted import CLOUD_LABEL
from controller.topology.links import F32

ENDLESS = ("mbps",)
"""Resources of which a node that does not tell has as much as is asked; of all others it has none."""


@dataclass(frozen=True, slots=True)
class Taint:
    """As Kubernetes'."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Host:
    """One node. ``capacity`` is all that apps may have of it, ``free`` what no replica has, by name of the
    resource (`wanted`); ``reached``: the controller is answered there, so that something can be begun;
    ``serves``: it has told what it has, so that it can run anything. ``price`` is of a replica and hour;
    ``up`` the share of the time that it was lately there, 0..1; ``runtimes`` what it can run apps with.
    """

    name: str
    capacity: Mapping[str, float] = field(default_factory=dict[str, float])
    free: Mapping[str, float] = field(default_factory=dict[str, float])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    region: str = ""
    alive: bool = True
    reached: bool = True
    serves: bool = True
    price: float = 0.0
    up: float = 1.0
    runtimes: frozenset[str] = frozenset()

    @property
    def cloud(self) -> bool:
        """Whether it is a node of the cloud."""
        return CLOUD_LABEL in self.labels


@dataclass(frozen=True, slots=True)
class Users:
    """Where users enter: ``nodes`` by index, ``weight`` of each (any scale), ``last_mile_ms`` to them."""

    nodes: NDArray[np.intp]
    weight: F64
    last_mile_ms: F64

    @property
    def share(self) -> F64:
        """Return [entry] the share of all users; all 0 where nobody is."""
        total = float(self.weight.sum())
        return self.weight / total if total > 0.0 else np.zeros_like(self.weight)


@dataclass(frozen=True, slots=True)
class PathFigures:
    """[from, to], what is expected of the paths in force in the next minutes: the mean round trip and how
    far it may stray (a standard deviation), its variation, the loss that is exceeded once in ten times
    (0..1), the rate that is free on it. NaN: not known; a path whose ``ms`` is not known serves nobody.

    ``within`` [to] by (from, bound in ms): what experience says of how likely a round trip is within a bound.
    """

    ms: F32
    sd_ms: F32
    jitter_ms: F32
    loss: F32
    mbps: F32
    within: Mapping[tuple[int, float], F32] = field(default_factory=dict[tuple[int, float], F32])


@dataclass(frozen=True)
class World:
    """``groups`` of users and ``placed``, where apps run (a node's index for each replica), by
    ``NAMESPACE/NAME``.
    """

    hosts: tuple[Host, ...]
    paths: PathFigures
    groups: Mapping[str, Users] = field(default_factory=dict[str, Users])
    placed: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])

    @cached_property
    def index(self) -> dict[str, int]:
        """Return the index of each node by its name."""
        return {host.name: place for place, host in enumerate(self.hosts)}

    @cached_property
    def away(self) -> F64:
        """Return [node] 1 where it is not there."""
        return np.array([not host.alive for host in self.hosts], np.float64)

    @cached_property
    def silent(self) -> F64:
        """Return [node] 1 where it is there, but the controller does not reach it."""
        return np.array([host.alive and not host.reached for host in self.hosts], np.float64)

    @cached_property
    def idle(self) -> F64:
        """Return [node] 1 where nothing can be run."""
        return np.array([not host.serves for host in self.hosts], np.float64)

    @cached_property
    def cloud(self) -> F64:
        """Return [node] 1 for those of the cloud."""
        return np.array([host.cloud for host in self.hosts], np.float64)

    @cached_property
    def down(self) -> F64:
        """Return [node] the share of the time that it was lately away, 0..1."""
        return np.array([1.0 - host.up for host in self.hosts], np.float64)

    @cached_property
    def tainted(self) -> tuple[int, ...]:
        """Return the nodes with taints."""
        return tuple(place for place, host in enumerate(self.hosts) if host.taints)

    @cached_property
    def price(self) -> F64:
        """Return [node] the price of a replica and hour."""
        return np.array([host.price for host in self.hosts], np.float64)

    @cached_property
    def fill(self) -> F64:
        """Return [node] how full it is, 0..1: the most taken of its resources."""
        return np.array([_fill(host) for host in self.hosts], np.float64)

    def free(self, resource: str) -> F64:
        """Return [node] how much of a resource is free."""
        if (known := self._free.get(resource)) is None:
            otherwise = np.inf if resource in ENDLESS else 0.0
            known = np.array([host.free.get(resource, otherwise) for host in self.hosts], np.float64)
            self._free[resource] = known
        return known.copy()

    @cached_property
    def served(self) -> dict[Any, Any]:
        """What was worked out of how groups are served, for who asks the same again (`demands`)."""
        return {}

    @cached_property
    def weighed(self) -> dict[Any, tuple[F64, F64]]:
        """What was worked out of what that costs (`demands`)."""
        return {}

    @cached_property
    def _free(self) -> dict[str, F64]:
        return {}


def _fill(host: Host) -> float:
    taken = (
        1.0 - host.free.get(name, 0.0) / capacity for name, capacity in host.capacity.items() if capacity > 0
    )
    return min(1.0, max(0.0, max(taken, default=0.0)))
