"""Which node of a lab runs which daemon, read from ``overlay.yml`` beside the topology.

Pure but for reading the file; called by `runner`. A lab without that file is a bare network.

    controller:
      node: cloud
      listen: 10.1.0.6:7443           # as the edges reach it
      probing: {budget: 50000}
    edges:
      paris:
        relay: true                   # may carry others' traffic; default false
        uplink: [{name: isp1, address: 10.1.0.1}]
        agent: {announce: [192.168.7.0/24]}

What stands under an edge besides ``relay`` are the tables of its ``overlayd.toml``; name and folders are
filled in. What stands under the controller besides ``node`` and ``listen`` is put in its ``controller.toml``.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.lab.document import Cursor, read
from sim.lab.topology import Topology

_FILE_KEYS = ("controller", "edges")
_CONTROLLER_NEEDS = ("node", "listen")
_CONTROLLER_TABLES = ("decisions", "probing", "store", "classes", "policies", "nodes", "log", "orchestration")
_ENDPOINT = re.compile(r"(?:[0-9.]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")
_EDGE_KEYS = ("relay", "uplink", "engine", "offload", "agent", "metrics", "log", "workload")


@dataclass(frozen=True, slots=True)
class Controller:
    """``listen``: the ``address:port`` that it binds and join tokens carry. ``tables``: those of its
    configuration file that are not as ``overlayd-controller init`` makes them.
    """

    node: str
    listen: str
    tables: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Edge:
    """``tables``: those of its configuration file."""

    node: str
    relay: bool
    tables: dict[str, Any]

    @property
    def prefixes(self) -> list[str]:
        """What it announces, and so what its token has to allow."""
        return list(self.tables.get("agent", {}).get("announce", []))


@dataclass(frozen=True, slots=True)
class Overlay:
    controller: Controller | None = None
    edges: tuple[Edge, ...] = ()


def overlay_beside(topology_file: Path, topology: Topology) -> Overlay:
    """What ``overlay.yml`` beside a topology file says. Raises :class:`sim.lab.errors.FileFault`."""
    return read_overlay(topology_file.with_name("overlay.yml"), topology)


def read_overlay(file: Path, topology: Topology) -> Overlay:
    """Read and check ``overlay.yml``; none there: no daemons. Raises :class:`sim.lab.errors.FileFault`."""
    return parse_overlay(read(file), topology) if file.exists() else Overlay()


def parse_overlay(document: Cursor, topology: Topology) -> Overlay:
    nodes = [node.name for node in topology.nodes]
    keys = document.mapping(_FILE_KEYS)
    edges = keys["edges"].mapping(nodes) if "edges" in keys else {}
    controller = _controller(keys["controller"], nodes) if "controller" in keys else None
    if edges and controller is None:
        raise document.fault("edges need a controller to join")
    return Overlay(controller, tuple(_edge(name, cursor) for name, cursor in edges.items()))


def _controller(cursor: Cursor, nodes: list[str]) -> Controller:
    keys = cursor.mapping((*_CONTROLLER_NEEDS, *_CONTROLLER_TABLES))
    for key in _CONTROLLER_NEEDS:
        if key not in keys:
            raise cursor.fault(f"the key {key!r} is missing")
    node = keys["node"].text()
    if node not in nodes:
        raise keys["node"].fault(f"there is no node {node!r}; nodes: {', '.join(nodes)}")
    listen = keys["listen"].text()
    if not _ENDPOINT.fullmatch(listen):
        raise keys["listen"].fault(f"{listen!r} is not address:port or [address]:port")
    tables = {key: keys[key] for key in _CONTROLLER_TABLES if key in keys}
    for table in tables.values():
        table.mapping()
    return Controller(node, listen, {key: table.value for key, table in tables.items()})


def _edge(name: str, cursor: Cursor) -> Edge:
    keys = cursor.mapping(_EDGE_KEYS)
    relay = keys.pop("relay").value if "relay" in keys else False
    if not isinstance(relay, bool):
        raise cursor.fault(f"relay: {relay!r} is neither true nor false")
    for key, table in keys.items():
        # What is in the tables is checked by the daemon's own rules when the file is written.
        table.items() if key == "uplink" else table.mapping()
    return Edge(name, relay, {key: table.value for key, table in keys.items()})
