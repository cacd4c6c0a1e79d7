"""``AppRoute``: which instances serve it, its address, and what is seen of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.orchestration.control.apps import App
from controller.orchestration.control.instances import Instance, unix_s
from controller.orchestration.control.members import Member
from controller.orchestration.control.revisions import timestamp
from controller.orchestration.control.rollout import Rollout, shares
from controller.orchestration.objects.reading import RouteSpec
from controller.orchestration.objects.schema import Object, part
from overlayd.protocol.pod import ContainerPort, Pod


@dataclass(frozen=True, slots=True)
class Route:
    """A route as it is stored."""

    spec: RouteSpec
    uid: str
    version: str
    address: str
    created_s: float
    raw: Mapping[str, Any]


def read_route(value: Object) -> Route:
    """Return a stored object as a route. Raises `reading.Unreadable`."""
    meta = value["metadata"]
    return Route(
        RouteSpec.of(value),
        meta["uid"],
        meta["resourceVersion"],
        part(value, "status").get("address", ""),
        unix_s(meta["creationTimestamp"]),
        value,
    )


@dataclass(frozen=True, slots=True)
class Server:
    """An instance that serves a route. ``group`` is its part of the shares."""

    name: str
    node: str
    address: str
    port: int
    revision: str
    group: str
    instance: Instance


@dataclass(frozen=True, slots=True)
class Backing:
    """Who serves a route: instances with their groups' ``shares``. ``problem``: why there is none that could;
    ``wakes``: an app of it sleeps, and starts when it is asked for.
    """

    servers: tuple[Server, ...]
    shares: Mapping[str, float]
    wakes: bool
    problem: str = ""


def backing(
    spec: RouteSpec,
    apps: Mapping[str, App],
    pods: Mapping[str, Sequence[tuple[Pod, Instance]]],
    members: Mapping[str, Member],
) -> Backing:
    """Return who serves a route. ``apps`` and ``pods`` [app] by ``NAMESPACE/NAME``."""
    servers: list[Server] = []
    parts: dict[str, float] = {}
    problems: list[str] = []
    wakes = False
    for name, weight in spec.backends:
        key = f"{spec.namespace}/{name}"
        app = apps.get(key)
        if app is None:
            problems.append(f"there is no app {name}")
            continue
        there = pods.get(key, ())
        found = [one for one in (_server(spec, key, pod, seen, members) for pod, seen in there) if one]
        if there and not found:
            problems.append(f"{name} has no port {spec.target or 'at all'}")
        wakes |= app.spec.least == 0 and not any(one.instance.serving for one in found)
        by_revision = _shares(app)
        for one in found:
            share = by_revision.get(one.revision, 0.0) if by_revision else 1.0
            group = f"{key}/{one.revision}" if by_revision else key
            parts[group] = weight * share
            servers.append(
                Server(one.name, one.node, one.address, one.port, one.revision, group, one.instance)
            )
    return Backing(tuple(servers), parts, wakes, "; ".join(problems))


def _shares(app: App) -> dict[str, float]:
    told = app.status.rollout
    if told is None:
        return {}
    return shares(Rollout(told.revision, told.phase, told.step, told.weight), told.stable)


def _server(
    spec: RouteSpec, app: str, pod: Pod, seen: Instance, members: Mapping[str, Member]
) -> Server | None:
    ports = [port for container in pod.spec.containers for port in container.ports]
    port = _port(spec.target, ports)
    member = members.get(seen.node)
    if port is None or member is None or not member.address or seen.lost:
        return None
    return Server(seen.name, seen.node, member.address, port.host_port, seen.revision, app, seen)


def _port(target: int | str | None, ports: Sequence[ContainerPort]) -> ContainerPort | None:
    if target is None:
        return ports[0] if ports else None
    return next((port for port in ports if target in (port.name, port.container_port)), None)


def refused(routes: Sequence[Route]) -> dict[str, str]:
    """Return the routes whose name and port another has already, and whose: who has an address keeps them."""
    first: dict[tuple[str, int], str] = {}
    made: dict[str, str] = {}
    for route in sorted(routes, key=lambda route: (not route.address, route.created_s, route.spec.key)):
        place = (route.spec.host, route.spec.port)
        if place in first:
            made[route.spec.key] = f"{place[0]}:{place[1]} is that of {first[place]}"
        else:
            first[place] = route.spec.key
    return made


def status_of(route: Route, back: Backing, address: str, refusal: str, now_s: float) -> Object | None:
    """Return the status of a route; None where it says what it said before."""
    before: Mapping[str, Any] = route.raw.get("status") or {}
    serving = sum(one.instance.serving for one in back.servers)
    accepted = ("False", "NameTaken", refusal) if refusal else ("True", "Accepted", "its name is its own")
    if not refusal and not address:
        accepted = ("False", "NoAddress", "no address is free")
    if serving:
        ready = ("True", "Serving", f"{serving} serve")
    elif back.wakes:
        ready = ("True", "Asleep", "the first request starts it")
    else:
        ready = ("False", "NobodyServes", back.problem or "no instance is ready")
    since = {one["type"]: (one["status"], one["lastTransitionTime"]) for one in before.get("conditions", ())}
    conditions = [
        {
            "type": kind,
            "status": status,
            "observedGeneration": route.spec.generation,
            "lastTransitionTime": since[kind][1]
            if kind in since and since[kind][0] == status
            else timestamp(now_s),
            "reason": reason,
            "message": message,
        }
        for kind, (status, reason, message) in (("Accepted", accepted), ("Ready", ready))
    ]
    made: Object = {
        "observedGeneration": route.spec.generation,
        "conditions": conditions,
        "host": route.spec.host,
        "instances": serving,
    }
    made |= {"address": address} if address else {}
    return None if made == before else made
