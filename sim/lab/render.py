"""A lab's topology as containerlab is given it: the file's own, with our link emulator on every link.

Pure; called by `containers`. For the emulator, a link between nodes becomes two links to the host, whose
host ends are moved to the namespace of wires afterwards.
"""

import zlib
from collections.abc import Mapping
from typing import Any, cast

from sim.lab.nodes import wire_ends
from sim.lab.topology import NODE_SYSCTLS, Topology


def host_ends(lab: str, index: int) -> tuple[str, str]:
    """What the far ends of link number ``index`` are called on the host, of at most 15 characters, until
    they are moved: names of different labs differ.
    """
    a, b = wire_ends(index)
    return f"{zlib.crc32(lab.encode()):08x}{a}", f"{zlib.crc32(lab.encode()):08x}{b}"


def render(
    document: Mapping[str, Any],
    topology: Topology,
    lab: str,
    binds: Mapping[str, list[str]],
    *,
    by_emulator: bool = True,
) -> dict[str, Any]:
    """The file's ``document`` for containerlab; ``binds``: folders that each node has from the host.

    ``by_emulator``: else links stay what the file says, between nodes.
    """
    body: dict[str, Any] = dict(document["topology"])
    defaults: dict[str, Any] = dict(body.get("defaults") or {})
    # No network but the lab's: over one of management, nodes would find each other beside the links.
    defaults |= {"network-mode": "none", "sysctls": NODE_SYSCTLS | (defaults.get("sysctls") or {})}
    nodes = {
        node: _bound(cast("dict[str, Any]", entry or {}), binds[node])
        for node, entry in body["nodes"].items()
    }
    links = _to_the_host(topology, lab) if by_emulator else body.get("links", [])
    return {
        **document,
        "name": lab,
        "topology": {**body, "defaults": defaults, "nodes": nodes, "links": links},
    }


def _to_the_host(topology: Topology, lab: str) -> list[dict[str, Any]]:
    return [
        {
            "type": "host",
            "endpoint": {"node": end.node, "interface": end.interface},
            "host-interface": outer,
            "mtu": link.mtu,
        }
        for index, link in enumerate(topology.links)
        for end, outer in zip((link.a, link.b), host_ends(lab, index), strict=True)
    ]


def _bound(entry: dict[str, Any], binds: list[str]) -> dict[str, Any]:
    return {**entry, "binds": [*(entry.get("binds") or []), *binds]}
