"""What the machine of a node's pods is told, and what it wants done. Pure.

A run is one life of one container (or process) of a pod; ``attempt`` numbers them from 0. Called by
`overlayd.workload.machine`, which takes events and returns commands, and by what does the I/O.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, NewType, TypeAlias

from overlayd.protocol.pod import Container, Pod, PodStatus, Probe

PodUid = NewType("PodUid", str)
RuntimeName: TypeAlias = Literal["process", "docker"]
ProbeKind: TypeAlias = Literal["startup", "liveness", "readiness"]

LEASE = "overlayd.io/lease-seconds"
"""Annotation: the pod runs only while a lease of so many seconds names it."""
KILLED = 137
"""The exit code of what SIGKILL ended, as shells tell it."""


class Now(NamedTuple):
    """``boot_ns`` is CLOCK_BOOTTIME, which decides; ``wall_ns`` is Unix time, which is only written down."""

    boot_ns: int
    wall_ns: int


class RunId(NamedTuple):
    """Where a container's runs are kept."""

    uid: PodUid
    container: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. ``code`` as of a shell: 128 + signal for what a signal ended."""

    code: int
    reason: str = ""
    message: str = ""
    finished_ns: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its runtime knows it, also after this unit's restart. Times are Unix time.

    ``digest`` is of the specification that it was started with. ``address`` is where its ports are probed.
    """

    id: RunId
    attempt: int
    digest: str
    runtime: RuntimeName
    started_ns: int
    ended: Ended | None = None
    image_id: str = ""
    container_id: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Desired:
    """What is wanted here. ``whole``: that is all, and what else runs is to go; else only these are known."""

    pods: tuple[Pod, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A runtime is there, with all runs that it knows, newest and the one before of each container."""

    runtime: RuntimeName
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """A runtime cannot be reached; what it runs is as it was last known. ``absent``: there is none here."""

    runtime: RuntimeName
    problem: str
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The run goes on: an end is told apart, however soon it came (`begun`)."""

    run: Run


@dataclass(frozen=True, slots=True)
class NotStarted:
    """``reason`` is one word for tables (``ErrImagePull``), ``message`` for people."""

    id: RunId
    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run has ended, by itself or as it was told."""

    id: RunId
    attempt: int
    ended: Ended


@dataclass(frozen=True, slots=True)
class Removed:
    """Nothing of the pod is left on the node."""

    uid: PodUid


@dataclass(frozen=True, slots=True)
class Probed:
    id: RunId
    attempt: int
    kind: ProbeKind
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Leased:
    """A lease has come (`overlayd.workload.leases`)."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


def begun(run: Run) -> tuple[Started] | tuple[Started, Stopped]:
    """Return what is told of a run that was started: one that has ended already is told with its end."""
    if run.ended is None:
        return (Started(run),)
    return (Started(replace(run, ended=None)), Stopped(run.id, run.attempt, run.ended))


Event: TypeAlias = Desired | Found | Lost | Started | NotStarted | Stopped | Removed | Probed | Leased | Tick


@dataclass(frozen=True, slots=True)
class Start:
    """To be answered by :class:`Started` or :class:`NotStarted`."""

    pod: Pod
    container: Container
    attempt: int
    digest: str

    @property
    def id(self) -> RunId:
        return RunId(PodUid(self.pod.metadata.uid), self.container.name)

    @property
    def runtime(self) -> RuntimeName:
        return runtime_of(self.container)


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the run to end, and make it after ``grace_s``; 0: at once. It is over with :class:`Stopped`."""

    id: RunId
    attempt: int
    runtime: RuntimeName
    grace_s: float


@dataclass(frozen=True, slots=True)
class Look:
    """Probe a run once. To be answered by :class:`Probed`."""

    id: RunId
    attempt: int
    kind: ProbeKind
    probe: Probe
    container: Container
    address: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove what is left of a pod: volumes, records, ended runs. To be answered by :class:`Removed`."""

    uid: PodUid


@dataclass(frozen=True, slots=True)
class Report:
    """The pod's status is another."""

    pod: Pod
    status: PodStatus


@dataclass(frozen=True, slots=True)
class Release:
    """The pod is gone from here; its name may go as well."""

    pod: Pod


@dataclass(frozen=True, slots=True)
class Happened:
    """Something to tell people of a pod."""

    pod: Pod
    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


def runtime_of(container: Container) -> RuntimeName:
    """Return what runs a container: without an image it is a process of the host."""
    return "process" if container.image is None else "docker"


Command: TypeAlias = Start | Stop | Look | Remove | Report | Release | Happened
