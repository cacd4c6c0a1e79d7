"""Nodes that are network namespaces, with the programs and files of this machine. I/O, needs root.

Called by `runner` and `daemons`, through `sim.lab.nodes`.
"""

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sim.lab import netns, process
from sim.lab.errors import LabError
from sim.lab.nodes import wire_ends
from sim.lab.process import Process
from sim.lab.state import Folder, LabState
from sim.lab.topology import NODE_SYSCTLS, Topology


class NamespaceNodes:
    """See :class:`sim.lab.nodes.Nodes`."""

    def namespace(self, prefix: str, lab: str, node: str) -> str:
        return f"{prefix}{lab}-{node}"

    def make(self, place: Folder, state: LabState, topology: Topology) -> None:
        for node in topology.nodes:
            netns.create(state.namespaces[node.name])
            with netns.inside(state.namespaces[node.name]):
                netns.set_sysctls(NODE_SYSCTLS | dict(node.sysctls))
        for index, link in enumerate(topology.links):
            for end, inner in zip((link.a, link.b), wire_ends(index), strict=True):
                netns.add_veth((state.namespaces[end.node], end.interface), (state.wire, inner), link.mtu)
                _cut_udp_where_needed(state.namespaces[end.node], end.interface)

    def configure(self, state: LabState, topology: Topology) -> None:
        for node in topology.nodes:
            for line in node.exec:
                process.run(state.namespaces[node.name], shlex.split(line))

    def remove(self, place: Folder, state: LabState) -> None:
        for namespace in state.namespaces.values():
            process.stop_all_in(namespace)
            netns.remove(namespace)

    def program(self, name: str) -> str:
        file = Path(sys.executable).with_name(name)
        if not file.exists():
            raise LabError(f"there is no {file}; labs with daemons need the distribution installed")
        return str(file)

    def run(self, state: LabState, node: str, command: Sequence[str]) -> str:
        return process.run(state.namespaces[node], command)

    def prefix(
        self, state: LabState, node: str, variables: Mapping[str, str], *, terminal: bool
    ) -> list[str]:
        ours = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
        known = [f"{name}={value}" for name, value in {"PATH": ours, **variables}.items()]
        return ["ip", "netns", "exec", state.namespaces[node], "env", *known]

    def start(self, place: Folder, state: LabState, name: str, node: str, command: Sequence[str]) -> Process:
        return process.start(name, state.namespaces[node], command, place.log(name))


def _cut_udp_where_needed(namespace: str, interface: str) -> None:
    """Before Linux 6.2 the emulator cannot be told of UDP super-frames: there the sender cuts them."""
    major, minor = map(int, platform.release().split(".")[:2])
    if (major, minor) < (6, 2):
        process.run(namespace, ["ethtool", "-K", interface, "tx-udp-segmentation", "off"])
