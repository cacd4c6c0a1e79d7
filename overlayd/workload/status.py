"""What a node says of a pod, in Kubernetes' words. Pure."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Literal

from overlayd.protocol.pod import (
    Condition,
    Container,
    ContainerState,
    ContainerStatus,
    Phase,
    Pod,
    PodIP,
    PodStatus,
    Running,
    Terminated,
    Waiting,
)
from overlayd.workload.lives import Life
from overlayd.workload.messages import Now, Run

_SIGNALS = 128
_CONDITIONS: tuple[Literal["Initialized", "Ready", "ContainersReady", "PodScheduled"], ...] = (
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


def status_of(
    pod: Pod,
    lives: Mapping[str, Life],
    said: PodStatus,
    held: tuple[str, str] | None,
    address: str,
    now: Now,
) -> PodStatus:
    """Return the status of ``pod``; ``said`` is the one before it, whose times stay where nothing changed.

    ``held``: why it may not run, in one word and in many. ``address`` of the node in the overlay.
    """
    containers = [_container(pod, one, lives.get(one.name), held) for one in pod.spec.containers]
    waits = {one.name for one in containers if not one.ready}
    reason, message = held or ("", "")
    return PodStatus(
        phase=phase_of(pod, lives),
        conditions=_conditions(pod, waits, said, held, now),
        container_statuses=tuple(containers),
        host_ip=address,
        pod_ip=address,
        pod_ips=(PodIP(ip=address),) if address else (),
        start_time=said.start_time or time_of(now.wall_ns),
        reason=reason,
        message=message,
    )


def phase_of(pod: Pod, lives: Mapping[str, Life]) -> Phase:
    """Return the phase: ``Succeeded`` and ``Failed`` are for ever, and for pods that are not restarted."""
    known = [lives.get(one.name) for one in pod.spec.containers]
    runs = [life.run for life in known if life is not None and life.run is not None]
    if len(runs) == len(pod.spec.containers) and all(is_over(pod, run) for run in runs):
        failed = any(run.ended is not None and run.ended.code != 0 for run in runs)
        return "Failed" if failed else "Succeeded"
    return "Running" if len(runs) == len(pod.spec.containers) else "Pending"


def is_over(pod: Pod, run: Run) -> bool:
    """Tell whether a container has done what it had to do, and is not started again."""
    if run.ended is None:
        return False
    policy = pod.spec.restart_policy
    return policy == "Never" or (policy == "OnFailure" and run.ended.code == 0) or pod.deleting()


def time_of(unix_ns: int) -> str:
    """Return a time as objects have it: RFC 3339, UTC, whole seconds."""
    moment = datetime.datetime.fromtimestamp(unix_ns // 1_000_000_000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _container(
    pod: Pod, container: Container, life: Life | None, held: tuple[str, str] | None
) -> ContainerStatus:
    if life is None:
        reason, message = held or ("ContainerCreating", "")
        return ContainerStatus(
            name=container.name,
            image=container.image or "",
            state=ContainerState(waiting=Waiting(reason=reason, message=message)),
        )
    run = life.run
    return ContainerStatus(
        name=container.name,
        ready=life.running and not life.stopping and life.probes.ready,
        restart_count=0 if run is None else run.attempt,
        started=life.running and life.probes.started,
        image=container.image or "",
        image_id="" if run is None else run.image_id,
        container_id="" if run is None else run.container_id,
        state=_state(pod, life, held),
        last_state=_last_state(pod, life),
    )


def _state(pod: Pod, life: Life, held: tuple[str, str] | None) -> ContainerState:
    run = life.run
    if run is not None and run.ended is None:
        return ContainerState(running=Running(started_at=time_of(run.started_ns)))
    if run is not None and not life.starting and (is_over(pod, run) or held is not None):
        return ContainerState(terminated=_terminated(run))
    reason, message = ("ContainerCreating", "") if life.starting else (held or life.waiting)
    return ContainerState(waiting=Waiting(reason=reason, message=message))


def _last_state(pod: Pod, life: Life) -> ContainerState:
    """The run that ended before the present state."""
    run = life.run
    if run is not None and run.ended is not None and not is_over(pod, run):
        return ContainerState(terminated=_terminated(run))
    if life.before is not None and life.before.ended is not None:
        return ContainerState(terminated=_terminated(life.before))
    return ContainerState()


def _terminated(run: Run) -> Terminated:
    ended = run.ended
    if ended is None:
        raise ValueError("the run has not ended")
    return Terminated(
        exit_code=ended.code,
        signal=ended.code - _SIGNALS if ended.code > _SIGNALS else 0,
        reason=ended.reason or ("Completed" if ended.code == 0 else "Error"),
        message=ended.message,
        started_at=time_of(run.started_ns),
        finished_at=time_of(ended.finished_ns),
        container_id=run.container_id,
    )


def _conditions(
    pod: Pod, waits: set[str], said: PodStatus, held: tuple[str, str] | None, now: Now
) -> tuple[Condition, ...]:
    before: dict[str, Condition] = {one.type: one for one in said.conditions}
    made: list[Condition] = []
    for kind in _CONDITIONS:
        unready = bool(waits) and kind in ("Ready", "ContainersReady")
        reason, message = ("", "")
        if unready:
            reason, message = held or (
                "ContainersNotReady",
                f"containers with unready status: {_named(pod.spec.containers, waits)}",
            )
        status: Literal["True", "False"] = "False" if unready else "True"
        old = before.get(kind)
        since = old.last_transition_time if old is not None and old.status == status else None
        made.append(
            Condition(
                type=kind,
                status=status,
                last_transition_time=since or time_of(now.wall_ns),
                reason=reason,
                message=message,
            )
        )
    return tuple(made)


def _named(containers: Sequence[Container], names: set[str]) -> str:
    return f"[{' '.join(one.name for one in containers if one.name in names)}]"
