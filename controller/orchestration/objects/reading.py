"""Apps and routes as those need them who act on them: in units, with defaults, nothing left to look up. Pure.

What is read has been validated; an object that an older version let through may raise :class:`Unreadable`.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from controller.orchestration.objects.schema import Object, part, parts
from overlayd.model.quantity import CPU, DEVICES, DISK, MBPS, MEMORY, Amounts, amounts, quantity, seconds

Spread: TypeAlias = Literal["node", "region", "none"]
_T = TypeVar("_T")

TEMPLATE = (
    "source",
    "containers",
    "ports",
    "env",
    "secrets",
    "volumes",
    "health",
    "resources",
    "stopTimeout",
)
"""The parts of an app's spec of which its pods are made: where one of them changes there is a new revision.
"""


class Unreadable(ValueError):
    """An object that is not what its kind says."""


def template(spec: Object) -> Object:
    """Return of an app's spec what its pods are made of."""
    return {key: spec[key] for key in TEMPLATE if key in spec}


def revision_of(spec: Object) -> str:
    """Return the name of the revision that an app's spec is: ten hexadecimal digits."""
    body = msgspec.json.encode(template(spec), order="deterministic")
    return hashlib.sha256(body).hexdigest()[:10]


@dataclass(frozen=True, slots=True)
class Port:
    """``host_port`` 0: any that is free."""

    name: str
    port: int
    protocol: Literal["TCP", "UDP"] = "TCP"
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """``kind`` says what is asked: ``path`` is of http, ``port`` (None: the first) of http and tcp,
    ``command`` of exec.
    """

    kind: Literal["http", "tcp", "exec"]
    path: str = "/"
    port: int | str | None = None
    command: tuple[str, ...] = ()
    interval_s: int = 10
    timeout_s: int = 2
    failures: int = 3
    start_s: int = 60


@dataclass(frozen=True, slots=True)
class Running:
    """A container, or without an ``image`` a process. Limits of 0 are none."""

    name: str
    image: str | None
    command: tuple[str, ...]
    args: tuple[str, ...]
    working_dir: str
    env: tuple[tuple[str, str], ...]
    ports: tuple[Port, ...]
    health: Health | None
    requests: Amounts
    limits: Amounts


@dataclass(frozen=True, slots=True)
class Secret:
    name: str
    file: str
    mount_path: str


@dataclass(frozen=True, slots=True)
class Volume:
    """``host_path`` None: a folder of the instance's own, of at most ``size_bytes`` (0: any)."""

    name: str
    mount_path: str
    host_path: str | None = None
    read_only: bool = False
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """None: no bound. ``loss`` and ``satisfy`` are 0..1."""

    latency_ms: float | None = None
    jitter_ms: float | None = None
    mbps: float | None = None
    loss: float | None = None
    satisfy: float = 0.95


@dataclass(frozen=True, slots=True)
class Placement:
    """Apps are told as ``NAMESPACE/NAME``, and so is ``users``."""

    policy: str = "latency-first"
    weights: tuple[tuple[str, float], ...] = ()
    users: str | None = None
    near_app: str | None = None
    cloud: bool = False
    regions_only: tuple[str, ...] = ()
    regions_avoid: tuple[str, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Mapping[str, str], ...] = ()
    with_apps: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()
    max_price: float | None = None
    bounds: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Autonomy:
    """``singleton``: never twice at once, so it holds a lease. ``keep``: it goes on while it is cut off."""

    keep: bool = True
    replace_after_s: float = 600.0
    singleton: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """``steps`` are shares of the requests, 0..1, that the new revision of a canary gets."""

    canary: bool = False
    max_unavailable: int = 0
    max_surge: int = 1
    steps: tuple[float, ...] = (0.1, 0.5)
    analysis_s: int = 60


def _reading(function: Callable[[type[_T], Object], _T]) -> Callable[[type[_T], Object], _T]:
    @wraps(function)
    def read(cls: type[_T], value: Object) -> _T:
        try:
            return function(cls, value)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            name = value.get("metadata", {}).get("name", "")
            raise Unreadable(f"{value.get('kind')} {name!r} is not as it should be: {error!r}") from error

    return read


@dataclass(frozen=True, slots=True)
class AppSpec:
    """An app. ``least`` to ``most`` instances; ``least`` 0: it sleeps until it is asked for."""

    namespace: str
    name: str
    uid: str
    generation: int
    revision: str
    containers: tuple[Running, ...]
    secrets: tuple[Secret, ...]
    volumes: tuple[Volume, ...]
    stop_s: float
    least: int
    most: int
    spread: Spread
    placement: Placement
    autonomy: Autonomy
    update: Update
    paused: bool

    @classmethod
    @_reading
    def of(cls, value: Object) -> "AppSpec":
        """Return an ``App``. Raises :class:`Unreadable`."""
        meta, spec = value["metadata"], value["spec"]
        replicas = part(spec, "replicas")
        least: int = replicas.get("min", 1)
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta.get("uid", ""),
            generation=meta.get("generation", 0),
            revision=revision_of(spec),
            containers=_containers(spec),
            secrets=tuple(
                Secret(one["name"], one["file"], one.get("mountPath") or f"/run/secrets/{one['name']}")
                for one in parts(spec, "secrets")
            ),
            volumes=tuple(_volume(one) for one in parts(spec, "volumes")),
            stop_s=seconds(spec.get("stopTimeout") or "30s"),
            least=least,
            most=replicas.get("max") or max(1, least),
            spread=replicas.get("spread", "node"),
            placement=_placement(spec.get("placement") or {}, meta["namespace"]),
            autonomy=_autonomy(part(spec, "autonomy")),
            update=_update(part(spec, "update")),
            paused=spec.get("paused", False),
        )

    @property
    def key(self) -> str:
        """``NAMESPACE/NAME``."""
        return f"{self.namespace}/{self.name}"

    @property
    def requests(self) -> Amounts:
        """What one instance takes of its node."""
        return sum((one.requests for one in self.containers), Amounts())

    @property
    def host_ports(self) -> tuple[int, ...]:
        """The ports of its node that an instance insists on."""
        return tuple(port.host_port for one in self.containers for port in one.ports if port.host_port)


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A route. ``backends`` are names of apps in its namespace and their weights; ``target`` None: the first
    port. Limits of 0 are none; no ``users``: all.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    backends: tuple[tuple[str, int], ...]
    host: str
    port: int
    target: int | str | None
    protocol: Literal["HTTP", "TCP", "UDP"]
    retries: int
    timeout_s: float
    consecutive_errors: int
    eject_s: float
    max_connections: int
    requests_per_second: float
    users: tuple[str, ...]
    cloud_backup: bool

    @classmethod
    @_reading
    def of(cls, value: Object) -> "RouteSpec":
        """Return an ``AppRoute``. Raises :class:`Unreadable`."""
        meta, spec = value["metadata"], value["spec"]
        outlier = part(spec, "outlier")
        backends = [(one["app"], one.get("weight", 1)) for one in parts(spec, "backends")]
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta.get("uid", ""),
            generation=meta.get("generation", 0),
            backends=tuple(backends or [(spec["app"], 1)]),
            host=spec.get("host") or f"{meta['name']}.{meta['namespace']}.mesh",
            port=spec.get("port", 80),
            target=spec.get("targetPort"),
            protocol=spec.get("protocol", "HTTP"),
            retries=spec.get("retries", 2),
            timeout_s=float(spec.get("timeoutSeconds", 30.0)),
            consecutive_errors=outlier.get("consecutiveErrors", 5),
            eject_s=seconds(outlier.get("eject") or "30s"),
            max_connections=spec.get("maxConnections") or 0,
            requests_per_second=float(spec.get("requestsPerSecond") or 0.0),
            users=tuple(parts(spec, "users")),
            cloud_backup=spec.get("cloudBackup", False),
        )

    @property
    def key(self) -> str:
        """``NAMESPACE/NAME``."""
        return f"{self.namespace}/{self.name}"


def _containers(spec: Object) -> tuple[Running, ...]:
    shared = _env(spec)
    if "containers" in spec:
        return tuple(_running(one["name"], one, one, (*shared, *_env(one))) for one in spec["containers"])
    return (_running("main", spec["source"], spec, shared),)


def _running(name: str, source: Object, about: Object, env: tuple[tuple[str, str], ...]) -> Running:
    """``about`` has the ports, health and resources of what runs."""
    resources = part(about, "resources")
    limits = part(resources, "limits")
    return Running(
        name=name,
        image=source.get("image"),
        command=tuple(parts(source, "command")),
        args=tuple(parts(source, "args")),
        working_dir=source.get("workingDir") or "",
        env=tuple(dict(env).items()),
        ports=tuple(
            Port(one.get("name", "main"), one["port"], one.get("protocol", "TCP"), one.get("hostPort") or 0)
            for one in parts(about, "ports")
        ),
        health=_health(about["health"]) if about.get("health") else None,
        requests=_amounts({**limits, **part(resources, "requests")}),
        limits=_amounts(limits),
    )


def _env(holder: Object) -> tuple[tuple[str, str], ...]:
    return tuple((one["name"], one.get("value", "")) for one in parts(holder, "env"))


def _amounts(said: Object) -> Amounts:
    names = {"cpu": CPU, "memory": MEMORY, "disk": DISK}
    devices = {DEVICES + name: number for name, number in part(said, "devices").items()}
    known = {of: said[name] for name, of in names.items() if name in said}
    rate = {MBPS: f"{said['mbps']:f}"} if said.get("mbps") else {}
    return amounts({**known, **rate, **devices})


def _health(said: Object) -> Health:
    kind: Any = next(one for one in ("http", "tcp", "exec") if one in said)
    of: Object = said[kind]
    return Health(
        kind=kind,
        path=of.get("path", "/"),
        port=of.get("port"),
        command=tuple(parts(of, "command")),
        interval_s=said.get("intervalSeconds", 10),
        timeout_s=said.get("timeoutSeconds", 2),
        failures=said.get("failures", 3),
        start_s=said.get("startSeconds", 60),
    )


def _volume(said: Object) -> Volume:
    size = int(quantity(said["sizeLimit"])) if "sizeLimit" in said else 0
    return Volume(said["name"], said["mountPath"], said.get("hostPath"), said.get("readOnly", False), size)


def _placement(said: Object, namespace: str) -> Placement:
    near = part(said, "near")
    regions = part(said, "regions")
    affinity = part(said, "affinity")

    def full(name: str) -> str:
        return name if "/" in name else f"{namespace}/{name}"

    return Placement(
        policy=said.get("policy", "latency-first"),
        weights=tuple((key, float(weight)) for key, weight in sorted(part(said, "weights").items())),
        users=full(near["users"]) if near.get("users") else None,
        near_app=full(near["app"]) if near.get("app") else None,
        cloud=said.get("fallback") == "cloud",
        regions_only=tuple(parts(regions, "only")),
        regions_avoid=tuple(parts(regions, "avoid")),
        node_selector=tuple(sorted(part(said, "nodeSelector").items())),
        tolerations=tuple(parts(said, "tolerations")),
        with_apps=tuple(full(one) for one in parts(affinity, "with")),
        apart_from=tuple(full(one) for one in parts(affinity, "apart")),
        max_price=said.get("maxPrice"),
        bounds=_bounds(part(said, "network")),
    )


def _bounds(said: Object) -> Bounds:
    loss = said.get("lossPct")
    return Bounds(
        latency_ms=said.get("latencyMs"),
        jitter_ms=said.get("jitterMs"),
        mbps=said.get("mbps"),
        loss=None if loss is None else loss / 100,
        satisfy=said.get("satisfy", 0.95),
    )


def _autonomy(said: Object) -> Autonomy:
    singleton = not said.get("secondCopy", True)
    keep = said.get("offline", "stop" if singleton else "keep") == "keep"
    return Autonomy(keep, seconds(said.get("replaceAfter") or "10m"), singleton)


def _update(said: Object) -> Update:
    canary = part(said, "canary")
    return Update(
        canary=said.get("strategy") == "canary",
        max_unavailable=said.get("maxUnavailable", 0),
        max_surge=said.get("maxSurge", 1),
        steps=tuple(one / 100 for one in parts(canary, "steps") or (10, 50)),
        analysis_s=canary.get("analysisSeconds", 60),
    )
