"""A lab's nodes and links, read from a topology file in containerlab's own format.

The same file runs under containerlab. What the netns runner has no use for (images, binds, certificates) is
accepted and left alone; a key that containerlab does not know is refused. Pure but for reading the file;
called by `runner`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sim.lab.document import Cursor, read
from sim.lab.impair import Pair

# The keys of containerlab's schema (v0.79); those that mean something here are read below.
_FILE_KEYS = ("name", "prefix", "mgmt", "settings", "topology", "debug")
_TOPOLOGY_KEYS = ("defaults", "kinds", "groups", "nodes", "links")
_NODE_KEYS = (
    "aliases", "auto-remove", "binds", "cap-add", "certificate", "cmd", "config", "cpu", "cpu-set",
    "devices", "dns", "enforce-startup-config", "entrypoint", "env", "env-files", "exec", "extras", "group",
    "healthcheck", "image", "image-pull-policy", "kind", "labels", "license", "memory", "mgmt-ipv4",
    "mgmt-ipv6", "network-mode", "position", "ports", "privileged", "restart-policy", "runtime", "shm-size",
    "stages", "startup-config", "startup-delay", "suppress-startup-config", "sysctls", "type", "user",
    "wait-for",
)  # fmt: skip
_LINK_KEYS = ("endpoints", "type", "mtu", "labels", "vars")
_ENDPOINT_KEYS = ("node", "interface", "mac", "ipv4", "ipv6", "vars")

# Addresses answer at once, and replies may take another link than requests.
NODE_SYSCTLS = {
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}
"""Kernel settings of every node, by whatever runner, before those of the file."""

_MTU = 9500  # containerlab's default
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")


@dataclass(frozen=True, slots=True)
class Node:
    """One namespace: its set-up commands in order, and its kernel settings."""

    name: str
    exec: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    node: str
    interface: str

    def __str__(self) -> str:
        return f"{self.node}:{self.interface}"


@dataclass(frozen=True, slots=True)
class Link:
    """A wire between two interfaces, with its impairments in each direction. ``mtu``: of both interfaces,
    in bytes.
    """

    a: Endpoint
    b: Endpoint
    mtu: int
    impairments: Pair

    @property
    def ways(self) -> tuple[str, str]:
        """The names of its two directions in the emulator."""
        return f"{self.a}->{self.b}", f"{self.b}->{self.a}"

    def __str__(self) -> str:
        return f"{self.a.node}:{self.b.node}"


@dataclass(frozen=True, slots=True)
class Topology:
    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]


def read_topology(file: Path) -> Topology:
    """Read and check a topology file. Raises :class:`sim.lab.errors.FileFault`."""
    return parse_topology(read(file))


def parse_topology(document: Cursor) -> Topology:
    top = document.mapping(_FILE_KEYS)
    for key in ("name", "topology"):
        if key not in top:
            raise document.fault(f"the key {key!r} is missing")
    name = top["name"].text()
    if not _NAME.fullmatch(name):
        raise top["name"].fault(f"{name!r} is not a name of letters, digits, '.', '_' and '-'")
    body = top["topology"].mapping(_TOPOLOGY_KEYS)
    if "nodes" not in body or not (entries := body["nodes"].mapping()):
        raise top["topology"].fault("there are no nodes")
    defaults = body["defaults"].mapping(_NODE_KEYS) if "defaults" in body else {}
    nodes = tuple(_node(node, entry, defaults) for node, entry in entries.items())
    used: set[Endpoint] = set()
    links = tuple(_link(entry, entries, used) for entry in (body["links"].items() if "links" in body else ()))
    return Topology(name, nodes, links)


def _node(name: str, entry: Cursor, defaults: dict[str, Cursor]) -> Node:
    if not _NAME.fullmatch(name):
        raise entry.fault(f"{name!r} is not a name of letters, digits, '.', '_' and '-'")
    keys = {**defaults, **entry.mapping(_NODE_KEYS)}
    if "kind" not in keys:
        raise entry.fault("the key 'kind' is missing")
    if keys["kind"].text() != "linux":
        raise keys["kind"].fault(f"{keys['kind'].value!r}: only nodes of kind linux can be run in namespaces")
    sysctls = keys["sysctls"].mapping() if "sysctls" in keys else {}
    return Node(
        name,
        exec=keys["exec"].texts() if "exec" in keys else (),
        sysctls=tuple((key, str(cursor.value)) for key, cursor in sysctls.items()),
    )


def _link(entry: Cursor, nodes: dict[str, Cursor], used: set[Endpoint]) -> Link:
    keys = entry.mapping(_LINK_KEYS)
    if "endpoints" not in keys:
        raise entry.fault("the key 'endpoints' is missing")
    if "type" in keys and keys["type"].text() != "veth":
        raise keys["type"].fault(f"{keys['type'].value!r}: only links of type veth can be run in namespaces")
    ends = [_endpoint(cursor) for cursor in keys["endpoints"].items()]
    if len(ends) != 2:
        raise keys["endpoints"].fault(f"a link has 2 endpoints, not {len(ends)}")
    for end in ends:
        if end.node not in nodes:
            raise keys["endpoints"].fault(f"there is no node {end.node!r}; nodes: {', '.join(nodes)}")
        if end in used:
            raise keys["endpoints"].fault(f"{end} is the end of another link already")
        used.add(end)
    a, b = ends
    if a.node == b.node:
        raise keys["endpoints"].fault("both ends are on one node")
    return Link(a, b, _mtu(keys.get("mtu")), _impairments(a, b, keys.get("vars")))


def _endpoint(cursor: Cursor) -> Endpoint:
    if not isinstance(cursor.value, str):
        keys = cursor.mapping(_ENDPOINT_KEYS)
        if not {"node", "interface"} <= keys.keys():
            raise cursor.fault("an endpoint needs the keys 'node' and 'interface'")
        node, interface = keys["node"].text(), keys["interface"].text()
    else:
        node, _, interface = cursor.text().partition(":")
    if not _INTERFACE.fullmatch(interface):
        raise cursor.fault(
            f"{cursor.value!r} is not NODE:INTERFACE with an interface of at most 15 characters"
        )
    return Endpoint(node, interface)


def _mtu(cursor: Cursor | None) -> int:
    if cursor is None:
        return _MTU
    if type(cursor.value) is not int or not 68 <= cursor.value <= 65535:
        raise cursor.fault(f"{cursor.value!r} is not a whole number from 68 to 65535")
    return cursor.value


def _impairments(a: Endpoint, b: Endpoint, variables: Cursor | None) -> Pair:
    """``vars`` is free-form in containerlab; only its key ``impair`` is ours."""
    pair = Pair(a.node, b.node)
    words = variables.mapping().get("impair") if variables else None
    if words is None:
        return pair
    try:
        return pair.change({key: cursor.value for key, cursor in words.mapping().items()})
    except ValueError as error:
        raise words.fault(str(error)) from None
