"""What a container is started with: its command, its variables and the places of its volumes. Pure.

``$(NAME)`` in commands and arguments stands for a variable, as with Kubernetes. A process of the host listens
at the port that was chosen for it, which it learns as ``PORT`` (its first) and ``PORT_NAME``.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from overlayd.protocol.pod import Container, ContainerPort, Pod

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


class Mount(NamedTuple):
    """``source`` on the host is shown as ``target`` in the container."""

    source: str
    target: str
    read_only: bool


def variables(pod: Pod, container: Container, address: str) -> dict[str, str]:
    """Return the variables of a container; what the pod says goes before what is said here."""
    said = {
        "POD_NAME": pod.metadata.name,
        "POD_NAMESPACE": pod.metadata.namespace,
        "POD_IP": address,
        "NODE_NAME": pod.spec.node_name,
    }
    for place, port in enumerate(container.ports):
        if place == 0:
            said["PORT"] = str(listens_at(container, port))
        if port.name:
            said[f"PORT_{port.name.upper().replace('-', '_')}"] = str(listens_at(container, port))
    return {**said, **{one.name: expanded(one.value, said) for one in container.env}}


def listens_at(container: Container, port: ContainerPort) -> int:
    """Return the port that the program listens at: a process of the host has no other than the host's."""
    if container.image is None:
        return port.host_port or port.container_port
    return port.container_port


def port_of(container: Container, named: int | str) -> int:
    """Return the number of a port that a probe names. Raises :class:`ValueError`."""
    for port in container.ports:
        if named in (port.name, port.container_port, str(port.container_port)):
            return listens_at(container, port)
    if isinstance(named, int) or named.isdecimal():
        return int(named)
    raise ValueError(f"{container.name} has no port {named!r}")


def expanded(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with ``$(NAME)`` replaced where there is such a variable; ``$$`` stands for ``$``."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[1] is None else values.get(found[1], found[0])

    return _REFERENCE.sub(value, text)


def mounts(container: Container, sources: Mapping[str, str]) -> list[Mount]:
    """Return where the container sees the pod's volumes, of which ``sources`` has the places on the host.

    Raises :class:`ValueError` for a mount of no volume, or one that leaves its volume.
    """
    made: list[Mount] = []
    for mount in container.volume_mounts:
        source = sources.get(mount.name)
        if source is None:
            raise ValueError(f"volumeMounts: there is no volume {mount.name!r}")
        if mount.sub_path:
            if ".." in PurePosixPath(mount.sub_path).parts or mount.sub_path.startswith("/"):
                raise ValueError(f"volumeMounts: subPath {mount.sub_path!r} leaves the volume")
            source = f"{source}/{mount.sub_path}"
        made.append(Mount(source, mount.mount_path, mount.read_only))
    return made
