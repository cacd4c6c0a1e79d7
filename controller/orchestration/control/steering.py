"""What each node is told of routes: targets, and how much each gets from the users who enter there. Pure."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

from controller.orchestration.control.routes import Backing, Route
from controller.orchestration.control.weighing import Candidate, Weight, weigh
from controller.orchestration.objects.schema import Object, part, parts
from overlayd.protocol.steering import Outlier, SteeredRoute, SteeringSpec, Target, UserPrefixes

Distance: TypeAlias = Callable[[str, str], float | None]
"""Round trip (ms) that is expected from one node to another; None: not known."""

NO_ROOMS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Group:
    """Users: ``nodes`` where they enter, and the ``prefixes`` that they have."""

    name: str
    nodes: frozenset[str]
    prefixes: tuple[str, ...]


def read_group(value: Object) -> Group:
    """Return a stored ``UserGroup``."""
    meta, spec = value["metadata"], part(value, "spec")
    return Group(
        f"{meta['namespace']}/{meta['name']}",
        frozenset(one["node"] for one in parts(spec, "ingress")),
        tuple(one["cidr"] for one in parts(spec, "prefixes")),
    )


@dataclass(frozen=True, slots=True)
class Steered:
    """A route that was accepted, with its address and who serves it."""

    route: Route
    address: str
    back: Backing


def steering(
    node: str,
    routes: Sequence[Steered],
    groups: Sequence[Group],
    distance: Distance,
    cloud: Set[str],
    before: SteeringSpec,
    rooms: Mapping[str, float] = NO_ROOMS,
) -> SteeringSpec:
    """Return what ``node`` is told. ``before`` is what it was told last; ``rooms``: of instances, by uid."""
    known = {group.name: group for group in groups}
    last = {route.name: route for route in before.routes}
    made: list[SteeredRoute] = []
    for one in sorted(routes, key=lambda one: one.route.spec.key):
        users = _users(node, one, known)
        if users is not None:
            made.append(_steered(node, one, users, distance, cloud, last.get(one.route.spec.key), rooms))
    here = [group for group in groups if node in group.nodes or group.prefixes]
    prefixes = tuple(
        UserPrefixes(name=group.name, prefixes=() if node in group.nodes else group.prefixes)
        for group in sorted(here, key=lambda group: group.name)
    )
    return SteeringSpec(routes=tuple(made), groups=prefixes)


def _users(node: str, one: Steered, groups: Mapping[str, Group]) -> tuple[str, ...] | None:
    """Return the prefixes whose users are served here, none for all; None: nobody is."""
    spec = one.route.spec
    if not spec.users:
        return ()
    named = [groups[key] for name in spec.users if (key := f"{spec.namespace}/{name}") in groups]
    if any(node in group.nodes for group in named):
        return ()
    return tuple(sorted({prefix for group in named for prefix in group.prefixes})) or None


def _steered(
    node: str,
    one: Steered,
    users: tuple[str, ...],
    distance: Distance,
    cloud: Set[str],
    last: SteeredRoute | None,
    rooms: Mapping[str, float],
) -> SteeredRoute:
    spec, servers = one.route.spec, one.back.servers
    # What nobody else sees may still serve those who enter where it is.
    there = [server for server in servers if server.instance.seen or server.node == node]
    candidates = [
        Candidate(
            server.name,
            server.group,
            0.0 if server.node == node else distance(node, server.node),
            replace(server.instance, seen=True).serving,
            spec.cloud_backup and server.node in cloud,
            rooms.get(server.instance.uid, 1.0),
        )
        for server in there
    ]
    before = {target.name: Weight(target.weight, target.backup) for target in last.targets} if last else {}
    weights = weigh(candidates, one.back.shares, before)
    return SteeredRoute(
        name=spec.key,
        host=spec.host,
        address=one.address,
        port=spec.port,
        protocol=spec.protocol,
        targets=tuple(
            Target(
                name=server.name,
                address=server.address,
                port=server.port,
                weight=weights[server.name].weight,
                backup=weights[server.name].backup,
                revision=server.revision,
            )
            for server in sorted(there, key=lambda server: server.name)
        ),
        retries=spec.retries,
        timeout_seconds=spec.timeout_s,
        outlier=Outlier(consecutive_errors=spec.consecutive_errors, eject_seconds=spec.eject_s),
        max_connections=spec.max_connections,
        requests_per_second=spec.requests_per_second,
        users=users,
        wakes=one.back.wakes,
    )
