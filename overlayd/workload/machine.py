"""Decides what runs on a node: the pods that are wanted, beside what runtimes say is there. Pure.

``handle(event, now)`` returns commands. A pod is known by its uid and by the digest of its specification:
what runs with the same digest is never started anew, whoever says so again, after whatever was lost in
between. Until it is told for the first time what is wanted, nothing that runs is stopped. Called by
`overlayd.workload.unit`.
"""

from dataclasses import dataclass, field
from typing import Literal

from overlayd.model.lease import LEASE_S
from overlayd.protocol.pod import DIGEST, Container, Pod, PodStatus, digest_of
from overlayd.workload.backoff import Uniform
from overlayd.workload.leases import Leases
from overlayd.workload.lives import Life
from overlayd.workload.messages import (
    LEASE,
    Command,
    Desired,
    Event,
    Found,
    Happened,
    Leased,
    Look,
    Lost,
    NotStarted,
    Now,
    PodUid,
    Probed,
    Release,
    Remove,
    Removed,
    Report,
    Run,
    RunId,
    RuntimeName,
    Start,
    Started,
    Stop,
    Stopped,
    Tick,
    runtime_of,
)
from overlayd.workload.status import is_over, status_of

ORPHAN_GRACE_S = 30


@dataclass(slots=True)
class _Held:
    """A pod that is wanted, or was. ``said``: the status that was last reported."""

    pod: Pod
    digest: str
    said: PodStatus
    wanted: bool = True
    removing: bool = False
    gone: bool = False
    watched: set[str] = field(default_factory=set)


class Machine:
    """The pods of one node. ``address`` is the node's in the overlay; ``leases`` are filled by who receives
    them, who says :class:`Leased` then.
    """

    def __init__(self, address: str, leases: Leases, uniform: Uniform) -> None:
        self.address = address
        self._leases = leases
        self._uniform = uniform
        self._known = False
        self._there: dict[RuntimeName, str | None] = {}
        self._absent: set[RuntimeName] = set()
        self._pods: dict[PodUid, _Held] = {}
        self._lives: dict[PodUid, dict[str, Life]] = {}
        self._orphans_going: set[PodUid] = set()

    def handle(self, event: Event, now: Now) -> list[Command]:
        """Take an event; return what to do, in order."""
        commands: list[Command] = []
        for uid in self._take(event, now, commands):
            self._settle(uid, now, commands)
        return commands

    def next_ns(self, now: Now) -> int | None:
        """When the next :class:`Tick` is due, CLOCK_BOOTTIME; None: nothing waits for time.

        What is due already has been looked at, or waits for something else.
        """
        times: list[int] = []
        for uid, held in self._pods.items():
            lives = self._lives.get(uid, {})
            if (lease_s := _lease_s(held.pod)) is not None:
                stop_s = held.pod.spec.termination_grace_period_seconds
                due_ns = self._leases.due_ns(uid, lease_s, stop_s, now.boot_ns)
                times += [] if due_ns is None else [due_ns]
            for life in lives.values():
                if not life.running:
                    times.append(life.not_before_ns)
                elif not life.stopping and (due_ns := life.probes.next_ns) is not None:
                    times.append(due_ns)
        return min((one for one in times if one > now.boot_ns), default=None)

    def pods(self) -> list[tuple[Pod, PodStatus]]:
        """Return what is wanted here, and what was last said of it."""
        return [(held.pod, held.said) for held in self._pods.values()]

    def running(self) -> list[tuple[Container, Run]]:
        """Return what runs of what is wanted here."""
        return [
            (container, life.run)
            for uid, held in self._pods.items()
            for container in held.pod.spec.containers
            if (life := self._lives.get(uid, {}).get(container.name)) is not None
            and life.run is not None
            and life.running
        ]

    def runtime_of(self, id: RunId) -> RuntimeName | None:
        """Return what runs, or ran, a container; None: it has never been started here."""
        life = self._lives.get(id.uid, {}).get(id.container)
        return None if life is None or life.run is None else life.run.runtime

    def lease_ends_ns(self) -> dict[str, int]:
        """Return when the leases of the pods end that need one, CLOCK_BOOTTIME by uid."""
        found: dict[str, int] = {}
        for uid, held in self._pods.items():
            if (lease_s := _lease_s(held.pod)) is not None:
                found[uid] = self._leases.ends_ns(uid, lease_s) or 0
        return found

    # Events

    def _take(self, event: Event, now: Now, commands: list[Command]) -> list[PodUid]:
        """Take note; return the pods to look at."""
        match event:
            case Desired(pods, whole):
                return self._desired(pods, whole)
            case Found(runtime, runs):
                return self._found(runtime, runs, now)
            case Lost(runtime, problem, absent):
                self._there[runtime] = problem
                (self._absent.add if absent else self._absent.discard)(runtime)
                return self._all()
            case Leased() | Tick():
                return self._all()
            case Removed(uid):
                self._lives.pop(uid, None)
                self._orphans_going.discard(uid)
                if (held := self._pods.get(uid)) is not None:
                    held.gone = True
                return [uid]
            case Started(run):
                held = self._pods.get(run.id.uid)
                container = None if held is None else _container(held.pod, run.id.container)
                self._life(run.id).started(run, container, now)
                if held is not None:
                    held.watched.add(run.id.container)
                    again = f" (restart {run.attempt})" if run.attempt else ""
                    commands.append(
                        Happened(held.pod, "Normal", "Started", f"Started {run.id.container}{again}")
                    )
                return [run.id.uid]
            case NotStarted(id, _, reason, message):
                self._life(id).not_started(event, now)
                if (held := self._pods.get(id.uid)) is not None:
                    commands.append(Happened(held.pod, "Warning", reason, f"{id.container}: {message}"))
                return [id.uid]
            case Stopped(id, attempt, ended):
                life = self._life(id)
                told = life.stopping
                life.stopped(attempt, ended, now)
                if (held := self._pods.get(id.uid)) is not None and not told and ended.code != 0:
                    said = f"{id.container} ended with {ended.code} {ended.reason} {ended.message}".rstrip()
                    commands.append(Happened(held.pod, "Warning", "BackOff", said))
                return [id.uid]
            case Probed():
                self._probed(event, now, commands)
                return [event.id.uid]

    def _desired(self, pods: tuple[Pod, ...], whole: bool) -> list[PodUid]:
        self._known = self._known or whole
        wanted: set[PodUid] = set()
        for pod in pods:
            uid = PodUid(pod.metadata.uid)
            wanted.add(uid)
            digest = pod.metadata.annotations.get(DIGEST) or digest_of(pod.spec)
            held = self._pods.get(uid)
            if held is None:
                self._pods[uid] = _Held(pod, digest, pod.status)
            elif not held.gone:
                if held.digest != digest:
                    self._forgive(uid)
                held.pod, held.digest, held.wanted = pod, digest, True
        for uid, held in list(self._pods.items()):
            if uid not in wanted:
                held.wanted = False
        return self._all()

    def _found(self, runtime: RuntimeName, runs: tuple[Run, ...], now: Now) -> list[PodUid]:
        self._there[runtime] = None
        self._absent.discard(runtime)
        for run in sorted(runs, key=lambda one: one.attempt):
            self._life(run.id).found(run, now)
        newest = {run.id for run in runs}
        for lives in self._lives.values():
            for life in lives.values():
                if life.run is not None and life.run.runtime == runtime and life.id not in newest:
                    life.vanished()
        return self._all()

    def _probed(self, event: Probed, now: Now, commands: list[Command]) -> None:
        life = self._life(event.id)
        held = self._pods.get(event.id.uid)
        if held is None or life.run is None or life.run.attempt != event.attempt or not life.running:
            return
        was_ready = life.probes.ready
        fatal = life.probes.answered(event.kind, event.ok, event.message, now.boot_ns)
        if (was_ready and not life.probes.ready) or fatal:
            said = f"{event.kind} probe of {event.id.container} failed: {event.message}"
            commands.append(Happened(held.pod, "Warning", "Unhealthy", said))
        if fatal and not life.stopping:
            life.stopping = True
            said = f"{event.id.container} failed its {event.kind} probe and is started anew"
            commands.append(Happened(held.pod, "Normal", "Killing", said))
            grace_s = held.pod.spec.termination_grace_period_seconds
            commands.append(Stop(event.id, event.attempt, life.run.runtime, grace_s))

    # Decisions

    def _settle(self, uid: PodUid, now: Now, commands: list[Command]) -> None:
        held = self._pods.get(uid)
        if held is None:
            self._clear_orphan(uid, commands)
            return
        why = self._why_not(held, now)
        if why is None:
            self._run(held, uid, now, commands)
        else:
            self._end(held, uid, why, now, commands)
        leaving = held.pod.deleting() or not held.wanted
        if leaving and self._is_quiet(uid, held):
            self._leave(held, uid, now, commands)
            return
        self._report(held, uid, why, now, commands)

    def _why_not(self, held: _Held, now: Now) -> tuple[str, str] | None:
        """Why a pod may not run; None: it may."""
        if held.pod.deleting() or not held.wanted:
            return "Deleted", ""
        if self._duty(held, now) != "run":
            return "NoLease", "it runs only while the controller allows it, and has not heard so in time"
        images = {one.image is None for one in held.pod.spec.containers}
        if len(images) != 1:
            return "InvalidPod", "its containers either all have an image or are all processes"
        return None

    def _duty(self, held: _Held, now: Now) -> Literal["run", "stop", "kill"]:
        lease_s = _lease_s(held.pod)
        if lease_s is None:
            return "run"
        stop_s = held.pod.spec.termination_grace_period_seconds
        return self._leases.duty(held.pod.metadata.uid, lease_s, stop_s, now.boot_ns)

    def _run(self, held: _Held, uid: PodUid, now: Now, commands: list[Command]) -> None:
        lives = self._lives.setdefault(uid, {})
        told = {one.name: one for one in held.said.container_statuses}
        outdated = [
            life
            for name, life in lives.items()
            if life.running
            and life.run is not None
            and (life.run.digest != held.digest or _container(held.pod, name) is None)
        ]
        for life in outdated:
            self._stop(life, held.pod.spec.termination_grace_period_seconds, commands)
        for container in held.pod.spec.containers:
            life = self._life(RunId(uid, container.name))
            problem = self._there.get(runtime_of(container), "")
            if problem is not None:
                life.waiting = ("RuntimeUnavailable", problem) if problem else ("ContainerCreating", "")
            elif life.running:
                if container.name not in held.watched:
                    held.watched.add(container.name)
                    life.watched(container, told.get(container.name), now)
                if not life.stopping:
                    self._look(life, container, now, commands)
            elif outdated or life.starting or now.boot_ns < life.not_before_ns:
                continue
            elif life.run is None or life.run.digest != held.digest or not is_over(held.pod, life.run):
                life.starting = True
                commands.append(Start(held.pod, container, life.next_attempt, held.digest))

    def _look(self, life: Life, container: Container, now: Now, commands: list[Command]) -> None:
        if life.run is not None:
            for kind, probe in life.probes.due(now.boot_ns):
                commands.append(Look(life.id, life.run.attempt, kind, probe, container, life.run.address))

    def _end(self, held: _Held, uid: PodUid, why: tuple[str, str], now: Now, commands: list[Command]) -> None:
        grace_s = held.pod.spec.termination_grace_period_seconds
        if why[0] == "NoLease" and self._duty(held, now) == "kill":
            grace_s = 0
        elif held.pod.deleting() and held.pod.metadata.deletion_grace_period_seconds is not None:
            grace_s = held.pod.metadata.deletion_grace_period_seconds
        for life in self._lives.get(uid, {}).values():
            if life.running and not life.stopping:
                commands.append(Happened(held.pod, "Normal", "Killing", f"Stopping {life.id.container}"))
            self._stop(life, grace_s, commands)

    def _stop(self, life: Life, grace_s: float, commands: list[Command]) -> None:
        """Once gently, and once more if it is to be at once."""
        if life.run is None or not life.running or life.killing or (life.stopping and grace_s > 0):
            return
        life.stopping = True
        life.killing = grace_s == 0
        commands.append(Stop(life.id, life.run.attempt, life.run.runtime, grace_s))

    def _is_quiet(self, uid: PodUid, held: _Held) -> bool:
        """Nothing of the pod runs, as far as its runtimes have told."""
        for runtime in map(runtime_of, held.pod.spec.containers):
            if runtime not in self._absent and self._there.get(runtime, "") is not None:
                return False
        return all(life.quiet for life in self._lives.get(uid, {}).values())

    def _leave(self, held: _Held, uid: PodUid, now: Now, commands: list[Command]) -> None:
        """The last steps of a pod: its status, then what is left on disk, then its name."""
        if held.gone:
            self._leases.forget(uid)
            del self._pods[uid]
            if held.wanted:
                commands.append(Release(held.pod))
        elif not held.removing:
            held.removing = True
            self._report(held, uid, None, now, commands)
            commands.append(Remove(uid))

    def _clear_orphan(self, uid: PodUid, commands: list[Command]) -> None:
        lives = self._lives.get(uid, {})
        if not self._known or uid in self._orphans_going or not lives:
            return
        for life in lives.values():
            self._stop(life, ORPHAN_GRACE_S, commands)
        if all(life.quiet for life in lives.values()):
            self._orphans_going.add(uid)
            commands.append(Remove(uid))

    def _report(
        self, held: _Held, uid: PodUid, why: tuple[str, str] | None, now: Now, commands: list[Command]
    ) -> None:
        if not held.wanted:
            return
        lives = self._lives.get(uid, {})
        if any(self._there.get(runtime_of(one), "") == "" for one in held.pod.spec.containers):
            return  # nothing is known yet
        shown = None if why is not None and why[0] == "Deleted" else why
        status = status_of(held.pod, lives, held.said, shown, self.address, now)
        if status != held.said:
            held.said = status
            commands.append(Report(held.pod, status))

    def _life(self, id: RunId) -> Life:
        return self._lives.setdefault(id.uid, {}).setdefault(id.container, Life.of(id, self._uniform))

    def _forgive(self, uid: PodUid) -> None:
        """What comes now is something else: it need not wait for what came before."""
        for life in self._lives.get(uid, {}).values():
            life.back_off.reset()
            life.not_before_ns = 0

    def _all(self) -> list[PodUid]:
        return [*self._pods, *(uid for uid in self._lives if uid not in self._pods)]


def _container(pod: Pod, name: str) -> Container | None:
    return next((one for one in pod.spec.containers if one.name == name), None)


def _lease_s(pod: Pod) -> int | None:
    """How long its leases last; None: it needs none. What is no number is the shortest, to be safe."""
    text = pod.metadata.annotations.get(LEASE)
    if text is None:
        return None
    return int(text) if text.isdecimal() else LEASE_S
