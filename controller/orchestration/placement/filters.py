"""Where an app may not run, why, and by how much it fails there. Pure.

Each filter is an array over all nodes, so that five hundred cost no more than one; words are made where
somebody asks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from controller.orchestration.placement.problem import F64, Bool
from controller.orchestration.placement.wanted import CLOUD_LABEL, Held, Toleration, Wanted
from controller.orchestration.placement.world import Host, Taint, World

ROUNDING = 1e-9
KEEPS_OFF = ("NoSchedule", "NoExecute")
_MI = 2**20


@dataclass(frozen=True, slots=True)
class Filter:
    """``short`` [node]: by how much it fails there, above 0 where it does; ``tell`` says it in words."""

    name: str
    short: F64
    tell: Callable[[int], str]

    @property
    def refuses(self) -> Bool:
        """Return [node] where the app may not run."""
        return self.short > 0.0


def filters_of(wanted: Wanted, world: World, held: Held) -> list[Filter]:
    """Return the filters that refuse any node."""
    return [one for one in _filters(wanted, world, held) if one.refuses.any()]


def possible(filters: list[Filter], nodes: int) -> Bool:
    """Return [node] where nothing refuses."""
    mask = np.ones(nodes, np.bool_)
    for one in filters:
        mask &= ~one.refuses
    return mask


def refusals(filters: list[Filter], world: World) -> dict[str, str]:
    """Return why each node that is refused is, by its name: all reasons, by how much."""
    told: dict[str, list[str]] = {}
    for one in filters:
        for node in np.flatnonzero(one.refuses).tolist():
            told.setdefault(world.hosts[node].name, []).append(f"{one.name}: {one.tell(node)}")
    return {name: "; ".join(reasons) for name, reasons in told.items()}


def exclusion(filters: list[Filter], world: World) -> str:
    """Return what excludes all nodes, and by how much it does where it is least; empty where some is left."""
    nodes = len(world.hosts)
    if not nodes:
        return "there is no node"
    if possible(filters, nodes).any():
        return ""
    alone = [one for one in filters if one.refuses.all()]
    if alone:
        return "; ".join(f"{one.name} excludes all {nodes} nodes, {_nearest(one, world)}" for one in alone)
    failed = np.sum([one.refuses for one in filters], axis=0)
    node = int(failed.argmin())
    counts = ", ".join(f"{one.name} {int(one.refuses.sum())}" for one in filters)
    missing = "; ".join(f"{one.name}: {one.tell(node)}" for one in filters if one.refuses[node])
    return f"no one constraint excludes all {nodes} nodes, but together they do ({counts}); "\
        f"nearest is {world.hosts[node].name}: {missing}"  # fmt: skip


def _nearest(one: Filter, world: World) -> str:
    node = int(one.short.argmin())
    return f"least {world.hosts[node].name}: {one.tell(node)}"


def _filters(wanted: Wanted, world: World, held: Held) -> Iterator[Filter]:
    hosts = world.hosts
    yield Filter("alive", world.away, lambda _: "it is not there")
    yield Filter(
        "reached", _silent(world, held), lambda _: "only the mesh hears it; nothing can be begun there"
    )
    yield Filter("workload", world.idle, lambda _: "it runs no applications")
    if wanted.runtime:
        missing = [wanted.runtime not in host.runtimes for host in hosts]
        yield _flags("runtime", missing, lambda _: f"it has no {wanted.runtime}")
    for resource, asked in wanted.requests.items():
        if asked > 0.0:
            yield _room(resource, asked, with_own(world, resource, asked, held))
    for key, value in wanted.selector.items():
        yield _label(key, value, hosts)
    yield _taints(wanted.tolerations, world)
    yield from _regions(wanted, hosts)
    if wanted.max_price is not None:
        yield _price(wanted.max_price, world)
    yield from _company(wanted, world)
    if not wanted.cloud and CLOUD_LABEL not in wanted.selector:
        yield Filter("fallback", world.cloud, lambda _: "it is the cloud, which is not asked")


def with_own(world: World, resource: str, asked: float, held: Held) -> F64:
    """Return [node] what is free of a resource beside the app's own replicas."""
    free = world.free(resource)
    for name in held.nodes:
        if (node := world.index.get(name)) is not None:
            free[node] += asked
    return free


def _silent(world: World, held: Held) -> F64:
    """Return [node] 1 where nothing can be begun; what the app has there goes on."""
    silent = world.silent.copy()
    silent[[world.index[name] for name in held.nodes if name in world.index]] = 0.0
    return silent


def untolerated_preferences(wanted: Wanted, world: World) -> F64:
    """Return [node] how many taints ask to stay away where possible."""
    counts = np.zeros(len(world.hosts))
    for node in world.tainted:
        soft = [taint for taint in world.hosts[node].taints if taint.effect not in KEEPS_OFF]
        counts[node] = sum(not _tolerates(taint, wanted.tolerations) for taint in soft)
    return counts


def _flags(name: str, refused: list[bool], tell: Callable[[int], str]) -> Filter:
    return Filter(name, np.array(refused, np.float64), tell)


def _room(resource: str, asked: float, free: F64) -> Filter:
    short = asked - free
    short[short <= ROUNDING * asked] = 0.0

    def tell(node: int) -> str:
        has, lacks = quantity(resource, max(0.0, free[node])), quantity(resource, short[node])
        return f"{quantity(resource, asked)} asked, {has} free, {lacks} short"

    return Filter(resource, short, tell)


def _label(key: str, value: str, hosts: tuple[Host, ...]) -> Filter:
    def tell(node: int) -> str:
        found = hosts[node].labels.get(key)
        return f"it has no label {key}" if found is None else f"label {key} is {found!r}, not {value!r}"

    return _flags("nodeSelector", [host.labels.get(key) != value for host in hosts], tell)


def _taints(tolerations: tuple[Toleration, ...], world: World) -> Filter:
    refused = np.zeros(len(world.hosts))
    for node in world.tainted:
        refused[node] = _untolerated(world.hosts[node], tolerations) is not None

    def tell(node: int) -> str:
        return f"{_untolerated(world.hosts[node], tolerations)} is not tolerated"

    return Filter("taints", refused, tell)


def _untolerated(host: Host, tolerations: tuple[Toleration, ...]) -> Taint | None:
    off = (taint for taint in host.taints if taint.effect in KEEPS_OFF)
    return next((taint for taint in off if not _tolerates(taint, tolerations)), None)


def _tolerates(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    return any(
        one.effect in ("", taint.effect)
        and (
            (one.operator == "Exists" and one.key in ("", taint.key))
            or (one.operator == "Equal" and (one.key, one.value) == (taint.key, taint.value))
        )
        for one in tolerations
    )


def _regions(wanted: Wanted, hosts: tuple[Host, ...]) -> Iterator[Filter]:
    def where(node: int) -> str:
        return f"it is in {hosts[node].region or 'no region'}"

    if only := wanted.regions:
        listed = ", ".join(only)
        refused = [host.region not in only for host in hosts]
        yield _flags("regions.only", refused, lambda i: f"{where(i)}, not in {listed}")
    if avoid := wanted.avoid_regions:
        refused = [host.region in avoid for host in hosts]
        yield _flags("regions.avoid", refused, lambda i: f"{where(i)}, which is avoided")


def _price(most: float, world: World) -> Filter:
    over = np.maximum(0.0, world.price - most)
    return Filter("maxPrice", over, lambda i: f"{world.price[i]:g} an hour, {over[i]:g} above {most:g}")


def _company(wanted: Wanted, world: World) -> Iterator[Filter]:
    nodes = range(len(world.hosts))
    for other in wanted.together:
        there = frozenset(world.placed.get(other, ()))
        words = f"{other} does not run here" if there else f"{other} runs nowhere"
        yield _flags("affinity.with", [node not in there for node in nodes], lambda _, words=words: words)
    for other in wanted.apart:
        there = frozenset(world.placed.get(other, ()))
        words = f"{other} runs here"
        yield _flags("affinity.apart", [node in there for node in nodes], lambda _, words=words: words)


def quantity(resource: str, amount: float) -> str:
    """Return an amount as people write it."""
    match resource:
        case "cpu":
            return f"{amount:g}m"
        case "memory" | "disk":
            return f"{amount / _MI:.4g}Mi"
        case "mbps":
            return f"{amount:g} Mbit/s"
        case _:
            return f"{amount:g}"
