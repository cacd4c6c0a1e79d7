"""A pod as the API shows it: what a node is to run, and what it says of it. Pure.

A subset of Kubernetes' ``core/v1``, named as there; fields that are not ours are passed over. The controller
writes metadata and spec, the node the status and nothing else. Beyond Kubernetes: a container without an
``image`` is a process of the host, and a volume may be a ``secretFile``.
"""

import hashlib
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import field

from overlayd.model.quantity import Amounts, Quantity, amounts

FINALIZER: Final = "overlayd.io/workload"
"""Of the node: taken off once the pod is stopped."""
APP: Final = "overlayd.io/app"
REVISION: Final = "overlayd.io/revision"
"""Labels: the app that a pod is of, and which state of its template."""
DIGEST: Final = "overlayd.io/digest"
"""Annotation: :func:`digest_of`; while it stays the same nothing is started anew."""

GRACE_S: Final = 30
"""Seconds between being asked and being made to end, where a pod does not say."""

Protocol: TypeAlias = Literal["TCP", "UDP"]
Phase: TypeAlias = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    pass


class OwnerReference(_Part, frozen=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class Metadata(_Part, frozen=True):
    """Times are RFC 3339."""

    name: str
    namespace: str = "default"
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class Env(_Part, frozen=True):
    name: str
    value: str = ""


class ContainerPort(_Part, frozen=True):
    """``host_port`` is where the port is reached at the node's overlay address; 0: not yet given."""

    container_port: int
    name: str = ""
    host_port: int = 0
    protocol: Protocol = "TCP"


class Resources(_Part, frozen=True):
    """Kubernetes' quantities by the names that `overlayd.model.quantity` has."""

    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}

    def requested(self) -> Amounts:
        """Return the requests in units; what only has a limit requests that much. Raises
        :class:`ValueError`.
        """
        return amounts({**self.limits, **self.requests})

    def limited(self) -> Amounts:
        """Return the limits in units, 0 for none. Raises :class:`ValueError`."""
        return amounts(self.limits)


class VolumeMount(_Part, frozen=True):
    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


class HttpGet(_Part, frozen=True):
    """``port`` is a number or the name of one of the container's."""

    port: int | str
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"


class TcpSocket(_Part, frozen=True):
    port: int | str


class Exec(_Part, frozen=True):
    command: tuple[str, ...] = ()


class Probe(_Part, frozen=True):
    """One of the three, every ``period_seconds``; so many answers of a kind in a row change what is
    thought.
    """

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec: Exec | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


class Container(_Part, frozen=True):
    """``image`` None: ``command`` is a process of the host."""

    name: str
    image: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[Env, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[VolumeMount, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None


class EmptyDir(_Part, frozen=True):
    medium: Literal["", "Memory"] = ""
    size_limit: Quantity | None = None


class HostPath(_Part, frozen=True):
    path: str
    type: Literal["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File"] = ""


class SecretFile(_Part, frozen=True):
    """A file of the node that only root reads; it is handed to the pod, and never leaves the node."""

    path: str


class Volume(_Part, frozen=True):
    """One of the three."""

    name: str
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    secret_file: SecretFile | None = None


class PodSpec(_Part, frozen=True):
    containers: tuple[Container, ...]
    node_name: str = ""
    volumes: tuple[Volume, ...] = ()
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: int = GRACE_S
    host_network: bool = False


class Waiting(_Part, frozen=True):
    reason: str = ""
    message: str = ""


class Running(_Part, frozen=True):
    started_at: str | None = None


class Terminated(_Part, frozen=True):
    exit_code: int
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    container_id: str = field(name="containerID", default="")


class ContainerState(_Part, frozen=True):
    """One of the three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Written whole, as Kubernetes does: what is 0 or false is told."""

    name: str
    ready: bool = False
    restart_count: int = 0
    started: bool = False
    image: str = ""
    image_id: str = field(name="imageID", default="")
    container_id: str = field(name="containerID", default="")
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Condition(_Part, frozen=True):
    type: str
    status: Literal["True", "False", "Unknown"]
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class PodIP(_Part, frozen=True):
    ip: str


class PodStatus(_Part, frozen=True):
    """``reason`` and ``message`` say why a pod is not what it should be."""

    phase: Phase | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    host_ip: str = field(name="hostIP", default="")
    pod_ip: str = field(name="podIP", default="")
    pod_ips: tuple[PodIP, ...] = field(name="podIPs", default=())
    start_time: str | None = None
    reason: str = ""
    message: str = ""


class Pod(_Part, frozen=True):
    """One pod; :func:`msgspec.json.decode` reads it from what the API answers."""

    metadata: Metadata
    spec: PodSpec
    status: PodStatus = PodStatus()
    api_version: str = "v1"
    kind: str = "Pod"

    def ready(self) -> bool:
        """Tell whether it serves."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)

    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    def requested(self) -> Amounts:
        """Return what its containers request together. Raises :class:`ValueError`."""
        return sum((one.resources.requested() for one in self.spec.containers), Amounts())


def digest_of(spec: PodSpec) -> str:
    """Return what tells whether a pod has to be started anew: all of its spec but where it runs, and how long
    it may take to end.
    """
    decisive = msgspec.structs.replace(spec, node_name="", termination_grace_period_seconds=GRACE_S)
    return hashlib.sha256(msgspec.json.encode(decisive, order="deterministic")).hexdigest()[:16]
