"""How the users of one node reach what they ask for: the spec of the ``Steering`` of its name. Pure.

Written by the controller alone, whole, whenever what is best changes; carried out by the node
(`overlayd.traffic`). One that a node holds stays in force while the controller is away.
"""

from typing import Final, Literal, TypeAlias

import msgspec

MOST_WEIGHT: Final = 256
"""As with HAProxy."""
Protocol: TypeAlias = Literal["HTTP", "TCP", "UDP"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    pass


class Target(_Part, frozen=True):
    """One instance. ``weight`` 0: it keeps the flows that it has and gets no new ones. A ``backup`` is used
    while no other target is up.
    """

    name: str
    address: str
    port: int
    weight: int = 1
    backup: bool = False
    revision: str = ""


class Outlier(_Part, frozen=True):
    """After so many errors in a row a target is left out for ``eject_seconds``, as long as others are
    left.
    """

    consecutive_errors: int = 5
    eject_seconds: float = 30.0


class SteeredRoute(_Part, frozen=True):
    """One AppRoute for the users here. ``name`` is ``NAMESPACE/NAME``; ``address`` is in the overlay, the
    same at every node.

    ``users`` are the prefixes that are served; empty: all. Limits are of this node; 0: none. ``wakes``: the
    app has no instance, and a request that waits for one is to be reported.
    """

    name: str
    host: str
    address: str
    port: int
    protocol: Protocol = "HTTP"
    targets: tuple[Target, ...] = ()
    retries: int = 2
    timeout_seconds: float = 30.0
    outlier: Outlier = Outlier()
    max_connections: int = 0
    requests_per_second: float = 0.0
    users: tuple[str, ...] = ()
    wakes: bool = False


class UserPrefixes(_Part, frozen=True):
    """Who the users are that enter here, for counting what they ask for. ``name`` is ``NAMESPACE/NAME`` of
    the group; no prefixes: all who enter here and are of no other group.
    """

    name: str
    prefixes: tuple[str, ...] = ()


class SteeringSpec(_Part, frozen=True):
    routes: tuple[SteeredRoute, ...] = ()
    groups: tuple[UserPrefixes, ...] = ()


class SteeringMetadata(_Part, frozen=True):
    name: str
    resource_version: str = ""
    generation: int = 0


class Steering(_Part, frozen=True):
    """One node's; :func:`msgspec.json.decode` reads it from what the API answers."""

    metadata: SteeringMetadata
    spec: SteeringSpec = SteeringSpec()
    api_version: str = "overlayd.io/v1"
    kind: str = "Steering"
