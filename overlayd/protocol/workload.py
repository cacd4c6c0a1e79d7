"""A node that runs applications and its controller: JSON frames over one WebSocket (mutual TLS). Pure.

What is to run is not told here: a node lists and watches its pods (`overlayd.workload.api`). Here is what has
no place in objects: that the node is alive and may go on with singletons, what it offers, logs, demand.
Who speaks is taken from the certificate. Fields that one side does not know are passed over.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

SUBPROTOCOL: Final = "overlayd.workload.v1"
PATH: Final = "/overlayd/v1/channel"
MOST_BYTES: Final = 1024 * 1024
"""Of one message."""

LOG_CHUNK_BYTES: Final = 32 * 1024
LOG_WINDOW: Final = 32
"""Chunks of one log that may be on their way before more are asked for."""

Count = Annotated[int, msgspec.Meta(ge=0)]


class Capacity(msgspec.Struct, frozen=True, rename="camel"):
    """What the host can give to applications, in all. ``devices`` counts those of a name (``gpu``)."""

    cpu_milli: Count
    memory_bytes: Count
    disk_bytes: Count
    mbps: Count | None = None
    devices: dict[str, Count] = {}


class Taint(msgspec.Struct, frozen=True, rename="camel"):
    """Keeps applications away that do not tolerate it. ``effect``: ``NoSchedule``, ``PreferNoSchedule`` or
    ``NoExecute``.
    """

    key: str
    value: str = ""
    effect: str = "NoSchedule"


# Node to controller


class Report(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="report"):
    """What the node is: the first message, and again when it changed. ``runtimes`` maps what is there
    (``process``, ``docker``, ``haproxy``) to its version.
    """

    capacity: Capacity
    runtimes: dict[str, str] = {}
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()


class Alive(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="alive"):
    """Each has a ``sequence`` of its own, growing; it is answered by a :class:`Lease`."""

    sequence: int


class LogChunk(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="logChunk"):
    """Part of a log, as it is: not necessarily whole lines. At most :data:`LOG_CHUNK_BYTES`."""

    id: int
    data: bytes


class LogEnd(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="logEnd"):
    """No more of a log comes; ``problem`` says why, where that is not its end."""

    id: int
    problem: str = ""


class Wanted(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="wanted"):
    """A request waits for a route (``namespace/name``) that has no instance."""

    route: str


class Asked(msgspec.Struct, frozen=True, rename="camel", array_like=True):
    """What users of a group (``namespace/name``; empty: of none) asked of a route."""

    route: str
    group: str
    requests: Count
    bytes: Count


class Demand(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="demand"):
    """What was counted at this node within the last ``seconds``."""

    seconds: float
    asked: tuple[Asked, ...]


class Outcome(msgspec.Struct, frozen=True, rename="camel", array_like=True):
    """What became of requests (TCP: connections) of a route (``namespace/name``) at instances of a
    ``revision``. ``failed``: not reached, broken off, or answered with a status from 500 on.
    """

    route: str
    revision: str
    requests: Count
    failed: Count


class Outcomes(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="outcomes"):
    """What was counted at this node since it said so last, of routes that several revisions serve."""

    outcomes: tuple[Outcome, ...]


class Full(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="full"):
    """How full instances are: by a pod's uid the part of its limit of processors that it took lately. Those
    without a limit are not told.
    """

    pods: dict[str, Annotated[float, msgspec.Meta(ge=0)]]


FromNode: TypeAlias = Report | Alive | LogChunk | LogEnd | Wanted | Demand | Outcomes | Full


# Controller to node


class Lease(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="lease"):
    """Answers the :class:`Alive` of that sequence number: ``pods`` (by uid) may go on, counted from when the
    node *sent* that.
    """

    sequence: int
    pods: tuple[str, ...] = ()


class LogRequest(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="log"):
    """Send a container's log: at most :data:`LOG_WINDOW` chunks before a :class:`LogMore`.

    The first of them is empty and says that there is such a log. ``pod`` is its uid. ``tail_lines`` from its
    end (None: all), those of the last ``since_seconds``, each with its time before it (``timestamps``), and
    those to come (``follow``). ``previous``: of the container before the last restart.
    """

    id: int
    pod: str
    container: str
    follow: bool = False
    tail_lines: Count | None = None
    since_seconds: float | None = None
    timestamps: bool = False
    previous: bool = False


class LogMore(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="logMore"):
    """So many more chunks of a log may come."""

    id: int
    chunks: int


class LogCancel(msgspec.Struct, frozen=True, rename="camel", tag_field="type", tag="logCancel"):
    """Nobody reads a log any more."""

    id: int


ToNode: TypeAlias = Lease | LogRequest | LogMore | LogCancel
