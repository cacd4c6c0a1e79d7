"""Configuration of an edge host: TOML file < ``OVERLAYD_*`` < flags, checked whole before a start.

What lives here: the tables of ``overlayd.toml`` as frozen structs, and their loading. Not here: what the
controller decides (it comes with the mesh). Called by `overlayd.cli.daemon` and by tools that write such
files. I/O: reads one file.
"""

import ipaddress
import re
import socket
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from overlayd.daemon.errors import ConfigurationError
from overlayd.model.node import MAX_SHARDS
from overlayd.model.quantity import quantity
from overlayd.model.service import HostRule, check_prefix
from overlayd.model.tables import out_of_range, unknown_key

DEFAULT_FILE = Path("/etc/overlayd/overlayd.toml")
ENVIRONMENT_PREFIX = "OVERLAYD_"

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_RATE_UNITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
# A struct's own check names the key it is about.
_OWN_CHECK = re.compile(r"([a-z_]+(?:\[\d+\])?(?:\.[a-z_]+)?): ")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_LISTS = ("uplink", "classify")
"""They stand in the file only."""
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


class NodeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``name`` is what the node calls itself before the controller names it; "" stands for the host name."""

    name: str = ""
    state_dir: str = "/var/lib/overlayd"
    runtime_dir: str = "/run/overlayd"

    def __post_init__(self) -> None:
        for key, value in (("state_dir", self.state_dir), ("runtime_dir", self.runtime_dir)):
            if not Path(value).is_absolute():
                raise ValueError(f"{key}: {value!r} is not an absolute path")


class EngineSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The overlay interface and its ``mtu``. ``key_log`` writes session keys to a file, for a dissector.

    ``spin_us``: how long after a packet the engine stays awake for one that is expected soon; 0: never;
    "auto": 3000, but 0 where it has less than two cores. ``shards``: packet threads, each with a queue of
    the interface and sockets of its own, at the ports after those of the uplinks; "auto": one for two cores.
    """

    interface: str = "overlay0"
    mtu: Annotated[int, msgspec.Meta(ge=1280, le=9000)] = 1380
    spin_us: Literal["auto"] | Annotated[int, msgspec.Meta(ge=0, le=10_000)] = "auto"
    key_log: bool = False
    shards: Literal["auto"] | Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARDS)] = "auto"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^\s/:%]{1,15}", self.interface) or self.interface in (".", ".."):
            right = "1 to 15 characters, no '/', ':', '%' or blanks"
            raise ValueError(f"interface: {self.interface!r} is not a name of an interface ({right})")


class OffloadSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A switch for each offload of the kernel; one that fails at run time is given up by itself.

    ``tun_checksum``: checksums stay partial on the interface. ``tun_segmentation``, ``tun_udp_segmentation``:
    super-packets of TCP and of UDP to and from it (need ``tun_checksum``). ``udp_gso``, ``udp_gro``: runs of
    datagrams, sent and received.
    """

    tun_checksum: bool = True
    tun_segmentation: bool = True
    tun_udp_segmentation: bool = True
    udp_gso: bool = True
    udp_gro: bool = True


class FaultSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For tests: after so many uses an offload fails, as some kernels' have; 0: never."""

    tun_segmentation: Annotated[int, msgspec.Meta(ge=0)] = 0
    udp_gso: Annotated[int, msgspec.Meta(ge=0)] = 0


class UplinkSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One UDP socket. ``endpoint`` is how peers reach it; absent: as it is bound; "": not at all (a NAT);
    "auto": at the address that the default route leaves from.
    """

    name: str
    address: str
    port: Port = 51900
    endpoint: str | None = None
    rate: str | None = None
    mtu: Annotated[int, msgspec.Meta(ge=1280, le=65535)] = 1500

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: must not be empty")
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise ValueError(
                f'address: {self.address!r} is not an IP address such as "198.51.100.7" or "::"'
            ) from None
        if self.endpoint and self.endpoint != "auto":
            check_endpoint(self.endpoint)
        if self.rate is not None:
            parse_rate(self.rate)

    @property
    def rate_bps(self) -> int | None:
        """The configured rate in bit/s."""
        return None if self.rate is None else parse_rate(self.rate)

    @property
    def public_endpoint(self) -> str | None:
        """``address:port`` as peers call it; None: they cannot (a NAT, or a wildcard without an endpoint).

        What "auto" stands for is not known here (`overlayd.daemon.reach`).
        """
        if self.endpoint is not None and self.endpoint != "auto":
            return self.endpoint or None
        if ipaddress.ip_address(self.address).is_unspecified:
            return None
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class AgentSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``announce``: prefixes behind this host. ``lan_discovery``: find neighbours on the local network.

    ``join_token_file``: joins with the token in it if the node is no member yet. ``reconnect_spread``:
    seconds over which the first attempt to reach a lost controller is spread.
    """

    announce: tuple[str, ...] = ()
    lan_discovery: bool = True
    join_token_file: str = ""
    reconnect_spread: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0

    def __post_init__(self) -> None:
        for prefix in self.announce:
            check_prefix(prefix, "announce")


class MetricsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``listen``: where Prometheus may read this host's metrics, as ``address:port``; "": nowhere."""

    listen: str = ""

    def __post_init__(self) -> None:
        if self.listen:
            check_endpoint(self.listen, "listen")

    @property
    def socket(self) -> tuple[str, int] | None:
        """Address and port; None: nowhere."""
        return _socket(self.listen)


def _socket(endpoint: str) -> tuple[str, int] | None:
    host, _, port = endpoint.rpartition(":")
    return (host.strip("[]"), int(port)) if endpoint else None


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``format``: text for people, json for collectors."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class WorkloadSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Applications on this host (`overlayd workload`); `overlayd run` starts it where this section is.

    ``server``: the controller's API of applications, ``host:port``; "": that of the controller that was
    joined, at port 7481. ``manifests``: a folder of pods that run here whoever else wants what. ``docker``:
    the socket of Docker's Engine; "": no containers. ``cpu``, ``memory``, ``disk``, ``mbps``: what
    applications may take in all, as "4", "8Gi", "50Gi", "100"; "": what the host has. ``devices``: as
    ``gpu=1``. ``labels``: as ``disk=ssd``. ``taints``: as ``key=value:NoSchedule``. ``keep_images``: hours
    that an image stays after its last use. ``metrics``: where Prometheus may read the metrics of routes, as
    ``address:port``; "": nowhere.
    """

    server: str = ""
    manifests: str = ""
    docker: str = "/run/docker.sock"
    cpu: str = ""
    memory: str = ""
    disk: str = ""
    mbps: str = ""
    devices: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    taints: tuple[str, ...] = ()
    keep_images: Annotated[int, msgspec.Meta(ge=0, le=8760)] = 24
    metrics: str = ""

    def __post_init__(self) -> None:
        for key, value in (("manifests", self.manifests), ("docker", self.docker)):
            if value and not Path(value).is_absolute():
                raise ValueError(f"{key}: {value!r} is not an absolute path")
        if self.server and not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}", self.server):
            raise ValueError(f'server: {self.server!r} is not an address such as "198.51.100.7:7481"')
        if self.metrics:
            check_endpoint(self.metrics, "metrics")
        for key in ("cpu", "memory", "disk", "mbps"):
            try:
                quantity(getattr(self, key) or "0")
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        for device in self.devices:
            if not re.fullmatch(r"[a-z0-9.-]+=\d+", device):
                raise ValueError(f'devices: {device!r} is not a name and a number such as "gpu=1"')
        for label in self.labels:
            if not re.fullmatch(r"[A-Za-z0-9./_-]+=[A-Za-z0-9._-]*", label):
                raise ValueError(f'labels: {label!r} is not a label such as "disk=ssd"')
        for taint in self.taints:
            if not re.fullmatch(rf"[A-Za-z0-9./_-]+(=[A-Za-z0-9._-]*)?:({'|'.join(_EFFECTS)})", taint):
                raise ValueError(f'taints: {taint!r} is not a taint such as "edge=true:NoSchedule"')

    @property
    def metrics_socket(self) -> tuple[str, int] | None:
        """Address and port of the routes' metrics; None: nowhere."""
        return _socket(self.metrics)


class ClassifySection(HostRule, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Packets that enter here and fit in all that is said are of the network's class with this name."""


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of ``overlayd.toml``. ``uplink`` keeps its order: an uplink's index is its number in snapshots.

    ``classify``: which class packets belong to that enter here; the first rule that fits is taken.
    ``workload``: None, where no applications run.
    """

    uplink: tuple[UplinkSection, ...]
    node: NodeSection = NodeSection()
    engine: EngineSection = EngineSection()
    offload: OffloadSection = OffloadSection()
    fault: FaultSection = FaultSection()
    agent: AgentSection = AgentSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()
    classify: tuple[ClassifySection, ...] = ()
    workload: WorkloadSection | None = None

    def __post_init__(self) -> None:
        if not self.uplink:
            raise ValueError("uplink: at least one [[uplink]] is needed")
        if len(self.uplink) > 16:
            raise ValueError(f"uplink: there are {len(self.uplink)}; at most 16 are allowed")
        names = [uplink.name for uplink in self.uplink]
        sockets = [(ipaddress.ip_address(uplink.address), uplink.port) for uplink in self.uplink]
        for index, uplink in enumerate(self.uplink):
            if uplink.name in names[:index]:
                raise ValueError(f"uplink[{index}].name: {uplink.name!r} is taken by an uplink before it")
            if sockets[index] in sockets[:index]:
                taken = f"{uplink.address} port {uplink.port}"
                raise ValueError(f"uplink[{index}].port: {taken} is taken by an uplink before it")
        shards = self.engine.shards
        if shards != "auto" and shards > self.room_for_shards:
            raise ValueError(f"engine.shards: {shards} are too many: {self._reason_against_shards(shards)}")

    @property
    def room_for_shards(self) -> int:
        """The most shards that the uplinks leave ports for; one, where an uplink has a rate to keep."""
        shards = MAX_SHARDS
        while shards > 1 and self._reason_against_shards(shards):
            shards -= 1
        return shards

    def _reason_against_shards(self, shards: int) -> str | None:
        rated = next((uplink for uplink in self.uplink if uplink.rate), None)
        if rated is not None and shards > 1:
            return f"uplink {rated.name!r} has a rate, which one shard has to keep"
        for place, one in enumerate(self.uplink):
            last = one.port + shards - 1
            if last > 65535:
                return f"uplink {one.name!r} would need the ports {one.port} to {last}"
            for other in self.uplink[:place]:
                if abs(one.port - other.port) < shards and _overlap(one.address, other.address):
                    return f"the ports of the uplinks {other.name!r} and {one.name!r} have to be as far apart"
        return None

    @property
    def engine_dir(self) -> Path:
        return Path(self.node.state_dir) / "engine"

    @property
    def agent_dir(self) -> Path:
        return Path(self.node.state_dir) / "agent"

    @property
    def engine_socket(self) -> Path:
        return Path(self.node.runtime_dir) / "engine.sock"

    @property
    def agent_socket(self) -> Path:
        return Path(self.node.runtime_dir) / "overlayd.sock"


def _overlap(one: str, other: str) -> bool:
    """Tell whether sockets bound to these addresses want different ports."""
    a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return a.version == b.version and (a == b or a.is_unspecified or b.is_unspecified)


def load(
    file: Path = DEFAULT_FILE, environment: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> Configuration:
    """Read ``file``, lay environment (``OVERLAYD_ENGINE_MTU=1300``) and flags (``engine.mtu=1300``) over it.

    Raises :class:`ConfigurationError`, which names the source and the key.
    """
    return parse(_read(file), str(file), environment, flags)


def parse(
    text: str, name: str, environment: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> Configuration:
    """As :func:`load`, of a file's ``text``; ``name`` is what errors call it."""
    tables = _tables(text, name)
    _check_keys(tables, name)
    configuration = _convert(tables, name)
    for source, section, key, text in _overrides(environment or {}, flags):
        table: dict[str, Any] = tables.setdefault(section, {})
        _check_keys({section: {key: text}}, source)
        table[key] = _value(text, _field_type(section, key))
        configuration = _convert(tables, source)
    if not configuration.node.name:
        name = socket.gethostname().split(".")[0]
        configuration = msgspec.structs.replace(
            configuration, node=msgspec.structs.replace(configuration.node, name=name)
        )
    return configuration


def parse_rate(text: str) -> int:
    """``"100mbit"`` → 100,000,000 bit/s. Raises ValueError that says what would be right."""
    match = _RATE.fullmatch(text.strip())
    factor = _RATE_UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None or (rate := round(float(match[1]) * factor)) <= 0:
        raise ValueError(f'rate: {text!r} is not a rate such as "100mbit" (units: {", ".join(_RATE_UNITS)})')
    return rate


def check_endpoint(text: str, key: str = "endpoint") -> None:
    """Raises ValueError, which names ``key``, unless ``text`` is ``address:port`` or ``[address]:port``."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})", text)
    try:
        if match is None or not 1 <= int(match[3]) <= 65535:
            raise ValueError
        ipaddress.IPv6Address(match[1]) if match[1] else ipaddress.IPv4Address(match[2])
    except ValueError:
        raise ValueError(
            f'{key}: {text!r} is not an endpoint such as "198.51.100.7:51900" or "[2001:db8::7]:51900"'
        ) from None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(str(file), "", "there is no such file; name one with --config") from None
    except OSError as error:
        raise ConfigurationError(str(file), "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(file), "", f"is not TOML: {error}") from error


def _tables(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(name, "", f"is not TOML: {error}") from error


def _convert(tables: dict[str, Any], source: str) -> Configuration:
    try:
        return msgspec.convert(tables, Configuration)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").lstrip(".")
        inner = _OWN_CHECK.match(problem)
        if inner:
            key = f"{key}.{inner[1]}" if key else inner[1]
            problem = problem[inner.end() :]
        problem = out_of_range(tables, Configuration, key) or problem
        raise ConfigurationError(source, key, problem) from None


def _check_keys(tables: Mapping[str, Any], source: str) -> None:
    if (found := unknown_key(tables, Configuration)) is not None:
        key, hint = found
        raise ConfigurationError(source, key, f"unknown key; {hint}")


def _overrides(environment: Mapping[str, str], flags: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """(source, section, key, text) of all above the file, the strongest last; no uplinks."""
    sections = [field.name for field in msgspec.structs.fields(Configuration) if field.name not in _LISTS]
    found: list[tuple[str, str, str, str]] = []
    for variable, text in sorted(environment.items()):
        for section in sections:
            prefix = f"{ENVIRONMENT_PREFIX}{section.upper()}_"
            if variable.startswith(prefix):
                found.append(
                    (f"environment variable {variable}", section, variable.removeprefix(prefix).lower(), text)
                )
    for flag in flags:
        place, separator, text = flag.partition("=")
        section, dot, key = place.partition(".")
        if not (separator and dot) or section not in sections:
            right = f"SECTION.KEY=VALUE with a section of {', '.join(sections)}"
            raise ConfigurationError("--set", flag, f"is not {right}")
        found.append((f"--set {place}", section, key, text))
    return found


def _field_type(section: str, key: str) -> Any:
    kind = next(field.type for field in msgspec.structs.fields(Configuration) if field.name == section)
    struct = next((one for one in get_args(kind) if one is not type(None)), kind)
    return next(field.type for field in msgspec.structs.fields(struct) if field.name == key)


def _value(text: str, wanted: Any) -> Any:
    """What ``text`` stands for: a list is parted by commas; numbers and booleans are as in TOML."""
    if get_origin(wanted) is tuple:
        return [item.strip() for item in text.split(",") if item.strip()]
    if wanted is str or get_origin(wanted) is Literal:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
