"""``controller.toml``: what an operator may set, read strictly and written by ``init``.

Not here: what the network *is* (id, name, keys): that is made once and lives in the state directory.
I/O: reads one file.
"""

import re
import tomllib
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any

import msgspec

from controller.policy.rules import MOST_RELAYS
from overlayd.model import service
from overlayd.model.service import DEFAULT_CLASSES, PRIORITY_MAX, Objective
from overlayd.model.tables import out_of_range, unknown, unknown_key
from overlayd.protocol.controller import PROBE_BUDGET

DEFAULT_LISTEN = "[::]:7443"
DEFAULT_API = "127.0.0.1:7480"
FILE_NAME = "controller.toml"

Seconds = Annotated[float, msgspec.Meta(ge=0.1, le=3600)]


class ConfigError(Exception):
    """The configuration is wrong; the message names file, key, and what would be right. Nothing was
    started.
    """


class DecisionSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When routes are computed: every ``interval``, and at most every ``minimum_interval`` when
    something urgent happened.

    Seconds. ``telemetry_interval`` is how often agents report.
    """

    interval: Seconds = 60.0
    minimum_interval: Seconds = 1.0
    telemetry_interval: Seconds = 15.0


class ProbingSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who measures links to whom: up to ``full_mesh`` nodes everybody to everybody; above, relays to relays
    and each other node to so many ``relays``. ``budget`` is what a node sends of probes and answers at
    most, in bytes per second.
    """

    full_mesh: Annotated[int, msgspec.Meta(ge=2, le=65535)] = 1000
    relays: Annotated[int, msgspec.Meta(ge=2, le=64)] = 48
    budget: Annotated[int, msgspec.Meta(ge=1000)] = PROBE_BUDGET


Days = Annotated[float, msgspec.Meta(gt=0)]


class StoreSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long history is kept: of links frame by frame, of routes and of links by five minutes, of links by
    the hour. What decisions were made from is kept as long as frames are, up to ``decisions_gb``.
    """

    frames_days: Days = 1.0
    retention_days: Days = 7.0
    hourly_days: Days = 90.0
    decisions_gb: Annotated[float, msgspec.Meta(ge=0)] = 12.0


class ClassSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[classes.NAME]``: how the paths of a class are chosen; what is not set stays as it is.

    ``policy`` is an objective or the name of one of ``[policies]``. ``max_rtt_ms``, ``max_loss`` (0..1, of
    the whole path before repair) and ``max_price_per_gb`` are bounds: a path above one is taken only where
    none is below. ``regions`` and ``avoid_regions`` say where relays are to be. ``weight`` is what the class
    gets of a full link beside others; within ``priority_ratio`` of the link's rate it goes ahead of them.
    ``dscp`` and ``rules`` say which packets are of it; ``name`` is what it is called instead of NAME.
    """

    policy: str | None = None
    max_rtt_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_loss: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    max_price_per_gb: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_relays: Annotated[int, msgspec.Meta(ge=0, le=MOST_RELAYS)] = MOST_RELAYS
    regions: tuple[str, ...] = ()
    avoid_regions: tuple[str, ...] = ()
    name: str | None = None
    weight: service.Weight | None = None
    priority_ratio: service.Ratio | None = None
    dscp: tuple[service.CodePoint, ...] | None = None
    rules: tuple[service.Rule, ...] = ()


Weight = Annotated[float, msgspec.Meta(ge=0)]


class PolicySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[policies.NAME]``: a policy of one's own, by weights: what a unit of each objective's cost counts (a
    ms of RTT, a packet lost of a thousand, a ms of variation, the price of a GB, a ms for a megabit).
    """

    latency: Weight = 0.0
    reliability: Weight = 0.0
    jitter: Weight = 0.0
    cost: Weight = 0.0
    throughput: Weight = 0.0


class NodeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[nodes.NAME]``: where a node is, whether it is to carry traffic of others (if its token lets it), and
    what it can send in all (default: the sum of its uplinks' rates, if they are set). ``labels`` are those by
    which applications choose nodes.
    """

    region: str = ""
    relay: bool = True
    capacity_mbit: Annotated[float, msgspec.Meta(gt=0)] | None = None
    labels: dict[str, str] = {}


class OrchestrationSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[orchestration]``: serve Kubernetes' API of applications, over TLS, at ``listen``. Left out: it
    is not. Routes have their addresses out of ``routes_prefix``, which is to be part of no other network.
    """

    listen: str = "127.0.0.1:7481"
    routes_prefix: str = "100.127.0.0/16"


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    level: str = "info"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``listen`` is where agents come in, ``advertise`` how they reach it, ``api`` HOST:PORT or
    ``unix:/path``.
    """

    listen: str
    advertise: tuple[str, ...]
    api: str = DEFAULT_API
    decisions: DecisionSection = DecisionSection()
    probing: ProbingSection = ProbingSection()
    store: StoreSection = StoreSection()
    classes: dict[str, ClassSection] = {}
    policies: dict[str, PolicySection] = {}
    nodes: dict[str, NodeSection] = {}
    log: LogSection = LogSection()
    orchestration: OrchestrationSection | None = None


_BY_NAME = {"classes": ClassSection, "policies": PolicySection, "nodes": NodeSection}


def load_config(path: Path) -> Config:
    """Read and check a configuration. Raises :class:`ConfigError`."""
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    if (found := unknown_key(table, Config)) is not None:
        key, hint = found
        raise ConfigError(f"{path}: {key}: unknown key; {hint}")
    try:
        config = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        problem, key = _placed(table, error)
        problem = out_of_range(table, Config, key) or problem
        raise ConfigError(f"{path}: {key}: {problem}" if key else f"{path}: {problem}") from error
    try:
        check_config(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def _placed(table: dict[str, Any], error: msgspec.ValidationError) -> tuple[str, str]:
    """Return what is wrong, and where: names within ``[classes]`` and the like are not told by the error."""
    problem, _, place = str(error).partition(" - at `$")
    key = place.rstrip("`").lstrip(".")
    section, unnamed, _ = key.partition("[...]")
    if unnamed and section in _BY_NAME:
        for name, entry in table[section].items():
            try:
                msgspec.convert(entry, _BY_NAME[section])
            except msgspec.ValidationError as inner:
                problem, key = _placed({}, inner)
                return problem, f"{section}.{name}.{key}".rstrip(".")
    return problem, key


def check_config(config: Config) -> None:
    """Check what the types cannot say. Raises :class:`ConfigError`."""
    split_address(config.listen, "listen")
    if not config.api.startswith("unix:"):
        split_address(config.api, "api")
    if config.orchestration is not None:
        split_address(config.orchestration.listen, "orchestration.listen")
        _check_prefix(config.orchestration.routes_prefix)
    if not config.advertise:
        raise ConfigError("advertise: at least one wss://HOST:PORT is needed; join tokens carry the first")
    for url in config.advertise:
        advertised_host(url)
    _check_choices(config)
    if config.log.level not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"log.level: {config.log.level!r} is none of debug, info, warning, error")


def _check_prefix(prefix: str) -> None:
    """Check that routes can have addresses out of a prefix."""
    try:
        most = IPv4Network(prefix).num_addresses
    except ValueError as error:
        raise ConfigError(f"orchestration.routes_prefix: {error}") from error
    if most < 4:
        raise ConfigError(f"orchestration.routes_prefix: {prefix} has no address to give: use /30 or shorter")


def _check_choices(config: Config) -> None:
    """Check that what sections name is there."""
    objectives = [objective.value for objective in Objective if objective is not Objective.WEIGHTED]
    regions = {node.region for node in config.nodes.values() if node.region}
    names = [service.name for service in DEFAULT_CLASSES]
    for name, section in config.classes.items():
        place = f"classes.{name}"
        if name not in names:
            raise ConfigError(f"{place}: there is no such class; {unknown(names, name)}")
        policies = [*objectives, *config.policies]
        if section.policy is not None and section.policy not in policies:
            hint = unknown(policies, section.policy)
            raise ConfigError(f"{place}.policy: there is no policy {section.policy!r}; {hint}")
        for key in ("regions", "avoid_regions"):
            for region in getattr(section, key):
                if region not in regions:
                    known = unknown(sorted(regions), region) if regions else "[nodes.NAME] region sets them"
                    raise ConfigError(f"{place}.{key}: no node is in {region!r}; {known}")
    _check_classes(config)
    for name, weights in config.policies.items():
        if name in list(Objective):
            raise ConfigError(f"policies.{name}: that is the name of an objective; choose another")
        if not any(msgspec.structs.astuple(weights)):
            said = ", ".join(field.name for field in msgspec.structs.fields(PolicySection))
            raise ConfigError(f"policies.{name}: at least one weight has to be above 0; there are {said}")


def _check_classes(config: Config) -> None:
    """Check that classes can be told apart, and that what goes ahead leaves something to the others."""
    names: dict[str, str] = {}
    code_points: dict[int, str] = {}
    ahead = 0.0
    for one in DEFAULT_CLASSES:
        section = config.classes.get(one.name, ClassSection())
        name = one.name if section.name is None else section.name
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name):
            right = "a-z, 0-9, '-' and '_', at most 32"
            raise ConfigError(f"classes.{one.name}.name: {name!r} is not a name of a class ({right})")
        if name in names:
            raise ConfigError(f"classes.{one.name}.name: {name!r} is the name of classes.{names[name]}")
        names[name] = one.name
        for code_point in one.dscp if section.dscp is None else section.dscp:
            if code_point in code_points:
                other = code_points[code_point]
                raise ConfigError(f"classes.{one.name}.dscp: {code_point} selects classes.{other} already")
            code_points[code_point] = one.name
        ahead += one.priority_ratio if section.priority_ratio is None else section.priority_ratio
        if ahead > PRIORITY_MAX:
            problem = f"with those before it {ahead:g}, more than {PRIORITY_MAX}: the others would starve"
            raise ConfigError(f"classes.{one.name}.priority_ratio: {problem}")


def render_config(config: Config) -> str:
    """Return ``config`` as the text of a new ``controller.toml``."""
    urls = ", ".join(_quoted(url) for url in config.advertise)
    return f"""\
# Configuration of an overlayd controller; read when `overlayd-controller serve` starts.

listen = {_quoted(config.listen)}        # where agents connect
advertise = [{urls}]  # how they reach it; join tokens carry the first
api = {_quoted(config.api)}              # HTTP API: HOST:PORT or "unix:/path"

[decisions]
interval = {config.decisions.interval}              # seconds between computations of all routes
minimum_interval = {config.decisions.minimum_interval}       # at most this often when links change
telemetry_interval = {config.decisions.telemetry_interval}    # how often agents report

[probing]
full_mesh = {config.probing.full_mesh}           # nodes, up to which all probe all
relays = {config.probing.relays}                # above: so many are probed by each node that is none
budget = {config.probing.budget}          # bytes per second that a node sends of probes and answers at most

[store]
frames_days = {config.store.frames_days}            # of links as they were reported, and of what was decided
retention_days = {config.store.retention_days}         # of route history, and of links by five minutes
hourly_days = {config.store.hourly_days}           # of links by the hour
decisions_gb = {config.store.decisions_gb}           # at most, for what `explain --at` tells

[log]
level = {_quoted(config.log.level)}

# [orchestration]               # Kubernetes' API for applications, see docs/applications.md
# listen = "127.0.0.1:7481"
# routes_prefix = "100.127.0.0/16"  # where the addresses of AppRoutes are taken from

# How paths are chosen may be said by class, see docs/routing.md:
#
# [classes.bulk]
# policy = "throughput"         # latency, reliability, jitter, cost, throughput, or one of [policies]
# max_rtt_ms = 200              # max_loss, max_price_per_gb, max_relays, regions, avoid_regions
# weight = 2                    # name, weight, priority_ratio, dscp, rules: see docs/classes.md
#
# [policies.frugal]             # weights of latency, reliability, jitter, cost, throughput
# latency = 1.0
# cost = 200.0
#
# [nodes.paris]
# region = "eu"                 # relay = false: carries nothing for others; capacity_mbit = 500
"""


def split_address(text: str, key: str) -> tuple[str, int]:
    """Return (host, port) of ``"host:port"`` or ``"[v6]:port"``. Raises :class:`ConfigError` naming
    ``key``.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535 or (":" in host and not bracketed):
        raise ConfigError(f"{key}: {text!r} is not HOST:PORT ([HOST]:PORT for IPv6)")
    return (host[1:-1] if bracketed else host), int(port)


def advertised_host(url: str) -> str:
    """Return the host of ``wss://host:port``. Raises :class:`ConfigError`."""
    rest = url.removeprefix("wss://")
    if rest == url or "/" in rest:
        raise ConfigError(f"advertise: {url!r} is not wss://HOST:PORT")
    return split_address(rest, "advertise")[0]


def default_advertise(listen: str) -> tuple[str, ...]:
    """Return how agents reach a controller that listens at one certain address.

    Raises :class:`ConfigError` for any-address: which of the host's addresses agents can reach is not
    ours to guess.
    """
    host, _ = split_address(listen, "listen")
    if host in ("", "0.0.0.0", "::"):
        raise ConfigError(
            f"{listen} is every address of this host: "
            "say with --advertise wss://HOST:PORT how agents reach it"
        )
    return (f"wss://{listen}",)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()  # a JSON string is a TOML basic string
