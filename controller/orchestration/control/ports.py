"""Which ports of a node lead to an instance: those that its app names, and else free ones. Pure."""

import zlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from controller.orchestration.objects.reading import AppSpec
from overlayd.protocol.pod import Pod

FIRST, LAST = 20_000, 29_999

HostPorts: TypeAlias = dict[tuple[str, str], int]
"""The node's port of each (container, port) by their names."""


class PortTaken(Exception):
    """A port that the app names is another's, or none is free."""


def taken_by(pods: Iterable[Pod]) -> dict[str, dict[int, str]]:
    """Return the ports of each node that are taken, and by which pod."""
    taken: dict[str, dict[int, str]] = {}
    for pod in pods:
        here = taken.setdefault(pod.spec.node_name, {})
        for container in pod.spec.containers:
            here |= {port.host_port: pod.metadata.name for port in container.ports if port.host_port}
    return taken


def choose_ports(spec: AppSpec, node: str, taken: Mapping[int, str]) -> HostPorts:
    """Return the ports of ``node`` that lead to an instance. Raises :class:`PortTaken`.

    Begins to look at a place that follows from the app: where it can be it is the same port again.
    """
    made: HostPorts = {}
    used = dict(taken)
    for container in spec.containers:
        for port in container.ports:
            here = (container.name, port.name)
            if port.host_port in used:
                raise PortTaken(f"port {port.host_port} of {node} is taken by {used[port.host_port]}")
            made[here] = port.host_port or _free(f"{spec.uid}/{container.name}/{port.name}", node, used)
            used[made[here]] = "the instance itself"
    return made


def _free(seed: str, node: str, used: Mapping[int, str]) -> int:
    size = LAST - FIRST + 1
    start = zlib.crc32(seed.encode()) % size
    for step in range(size):
        port = FIRST + (start + step) % size
        if port not in used:
            return port
    raise PortTaken(f"no port of {node} from {FIRST} to {LAST} is free")
