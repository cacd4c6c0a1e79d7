"""Labs from a few words of Python: nodes are numbered, links get interfaces, addresses and routes.

What lives here: the two files of a lab, written from a sketch. Not here: building it (`runner`). Called by
the footprint measurement and by tests; labs for people are files under ``containerlab/labs``. Pure but for
writing the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LISTEN_PORT = 7443


@dataclass(frozen=True, slots=True)
class Wire:
    """A link between two nodes. ``impair``: words of ``vars.impair``; a delay is that of one direction."""

    a: str
    b: str
    impair: Mapping[str, object] = field(default_factory=lambda: {"delay": "5ms"})
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Sketch:
    """A lab. Node number N has the underlay addresses 10.1.0.N and fd10:1::N, as far as ``families`` says.

    ``nodes`` are numbered in their order; a node of a wire that is not among them is bare: it gets nothing
    but its ``commands``, run after all else. The interfaces of a node are eth1, eth2 and so on, in the order
    of the wires; a second wire between two nodes gets no routes. ``edges``: tables of ``overlay.yml``; an
    edge without uplinks gets one at its first address. ``settings``: tables of the controller's file.
    """

    nodes: Sequence[str]
    wires: Sequence[Wire]
    controller: str
    edges: Mapping[str, Mapping[str, Any]]
    families: Sequence[int] = (4,)
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    def address(self, node: str, family: int | None = None) -> str:
        """The underlay address of a node; of the first family if none is named."""
        number = self.nodes.index(node) + 1
        return f"10.1.0.{number}" if (family or self.families[0]) == 4 else f"fd10:1::{number}"

    def write(self, folder: Path, name: str) -> Path:
        """Write ``topo.clab.yml`` and ``overlay.yml``; answers the former."""
        commands = {node: self._addresses(node) for node in self.nodes}
        links: list[dict[str, Any]] = []
        interfaces: dict[str, int] = {}
        joined: set[tuple[str, str]] = set()
        for wire in self.wires:
            ends: list[str] = []
            for node, peer in ((wire.a, wire.b), (wire.b, wire.a)):
                interfaces[node] = interfaces.get(node, 0) + 1
                interface = f"eth{interfaces[node]}"
                ends.append(f"{node}:{interface}")
                commands.setdefault(node, [])
                if node in self.nodes and peer in self.nodes and (node, peer) not in joined:
                    commands[node] += self._way(node, peer, interface)
                    joined.add((node, peer))
            links.append({"endpoints": ends, "mtu": wire.mtu, "vars": {"impair": dict(wire.impair)}})
        nodes = {
            node: {"kind": "linux", "exec": [*made, *self.commands.get(node, ())]}
            for node, made in commands.items()
        }
        topology = {"name": name, "topology": {"nodes": nodes, "links": links}}
        file = folder / "topo.clab.yml"
        file.write_text(yaml.safe_dump(topology, sort_keys=False), encoding="utf-8")
        overlay = yaml.safe_dump(self._overlay(), sort_keys=False)
        file.with_name("overlay.yml").write_text(overlay, encoding="utf-8")
        return file

    def _overlay(self) -> dict[str, Any]:
        host = self.address(self.controller)
        listen = f"[{host}]:{LISTEN_PORT}" if ":" in host else f"{host}:{LISTEN_PORT}"
        edges = {
            node: {"uplink": [{"name": "isp", "address": self.address(node)}], **tables}
            for node, tables in self.edges.items()
        }
        return {"controller": {"node": self.controller, "listen": listen, **self.settings}, "edges": edges}

    def _addresses(self, node: str) -> list[str]:
        return [
            f"ip address add {self.address(node, family)}/{'32' if family == 4 else '128'} dev lo"
            # The kernel makes even an address that it does not look for usable only a moment later.
            + (" nodad" if family == 6 else "")
            for family in self.families
        ]

    def _way(self, node: str, peer: str, interface: str) -> list[str]:
        commands: list[str] = []
        if 4 in self.families:
            source, target = self.address(node, 4), self.address(peer, 4)
            commands.append(f"ip route add {target}/32 dev {interface} src {source}")
        if 6 in self.families:
            here, there = self.nodes.index(node) + 1, self.nodes.index(peer) + 1
            source, target = self.address(node, 6), self.address(peer, 6)
            commands += [
                f"ip address add fe80::{here}/64 dev {interface} nodad",
                f"ip route add {target}/128 via fe80::{there} dev {interface} src {source}",
            ]
        return commands


def full_mesh(nodes: Sequence[str]) -> list[Wire]:
    """A wire between each two of ``nodes``."""
    return [Wire(a, b) for at, a in enumerate(nodes) for b in nodes[at + 1 :]]
