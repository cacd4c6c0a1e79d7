"""``Pod``: an instance of an app on a node, in Kubernetes' own words. Pure: a declaration.

A subset of ``core/v1``, with two things beside it: a container without an image is a process of the host, and
a volume may be a ``secretFile``. `overlayd.protocol.pod` is the same as structs. Made by the controller for
apps; nodes write its status.
"""

from controller.orchestration.objects.kinds import Column, Kind
from controller.orchestration.objects.pod_parts import CONTAINER, CONTAINER_STATUS, POD_CONDITION, VOLUME
from controller.orchestration.objects.schema import Object, flag, part, parts, record, series, text, whole
from controller.orchestration.objects.tables import age

_CORE = "io.k8s.api.core.v1"

_SPEC = record(
    "Specification of the desired behavior of the pod. It cannot be changed.",
    {
        "nodeName": text("The node that it runs on."),
        "containers": series(
            "Containers or processes of the pod; at least one.", CONTAINER, "name", min_items=1
        ),
        "volumes": series("Volumes that its containers may mount.", VOLUME, "name"),
        "restartPolicy": text(
            "Whether containers that end are started again: Always, OnFailure or Never. Default: Always.",
            enum=("Always", "OnFailure", "Never"),
            default="Always",
        ),
        "terminationGracePeriodSeconds": whole(
            "Seconds from being asked to end (SIGTERM) to being killed. Default: 30.", minimum=0, default=30
        ),
        "hostNetwork": flag("Whether it uses the node's own network."),
    },
    "containers",
    name=f"{_CORE}.PodSpec",
)

_STATUS = record(
    "Most recently observed status of the pod, written by its node.",
    {
        "phase": text("Pending, Running, Succeeded, Failed, or Unknown."),
        "conditions": series(
            "What holds: PodScheduled, Initialized, ContainersReady, Ready.", POD_CONDITION, "type"
        ),
        "containerStatuses": series("Each container as it is.", CONTAINER_STATUS, "name"),
        "hostIP": text("The node's address in the overlay."),
        "podIP": text("Where the pod is reached: the node's address in the overlay."),
        "podIPs": series("The same, as a list.", record("An address.", {"ip": text("It.")}, "ip"), "ip"),
        "startTime": text("When the node took it on.", format="date-time"),
        "reason": text("Why it is in this state, in one word."),
        "message": text("Why it is in this state, in a sentence."),
    },
    name=f"{_CORE}.PodStatus",
)


def ready(pod: Object, _now: float) -> str:
    """Return how many containers serve, of how many. Source, as for the other cells: ``printPod``."""
    good = sum(bool(one.get("ready")) and "running" in part(one, "state") for one in _statuses(pod))
    return f"{good}/{len(pod['spec']['containers'])}"


def state(pod: Object, _now: float) -> str:
    """Return a pod's state in one word."""
    status = part(pod, "status")
    said: str = status.get("reason") or status.get("phase") or ""
    running, failed = False, ""
    for one in reversed(_statuses(pod)):
        now = part(one, "state")
        waiting, ended = now.get("waiting"), now.get("terminated")
        if waiting and waiting.get("reason"):
            said = waiting["reason"]
        elif ended is not None:
            said = ended.get("reason") or _ending(ended)
            failed = said if ended.get("exitCode") else failed
        elif one.get("ready") and "running" in now:
            running = True
    if said == "Completed":
        serves = any(
            one["type"] == "Ready" and one["status"] == "True" for one in parts(status, "conditions")
        )
        said = "Running" if running and serves else failed or ("NotReady" if running else said)
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return said


def restarts(pod: Object, now: float) -> str:
    """Return how often containers were started again, and how long ago the last time."""
    number = sum(one.get("restartCount") or 0 for one in _statuses(pod))
    ends = [part(part(one, "lastState"), "terminated").get("finishedAt") for one in _statuses(pod)]
    last = max(filter(None, ends), default=None)
    return f"{number} ({age(last, now)} ago)" if number and last else str(number)


def _statuses(pod: Object) -> list[Object]:
    return parts(part(pod, "status"), "containerStatuses")


def _ending(ended: Object) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _age(pod: Object, now: float) -> str:
    return age(pod["metadata"]["creationTimestamp"], now)


def _address(pod: Object, _now: float) -> str:
    return part(pod, "status").get("podIP") or "<none>"


def _node(pod: Object, _now: float) -> str:
    return pod["spec"].get("nodeName") or "<none>"


def _none(_pod: Object, _now: float) -> str:
    return "<none>"


POD = Kind(
    name="Pod",
    plural="pods",
    group="",
    module=_CORE,
    short=("po",),
    categories=("all",),
    description=(
        "Pod is one instance of an App on a node: containers, or processes of the host, that run together. "
        "The "
        "controller makes it; delete it, and another takes its place."
    ),
    properties={"spec": _SPEC, "status": _STATUS},
    required=("spec",),
    fixed=("spec",),
    logs=True,
    columns=tuple(
        Column(name, "string", "", said, priority, shown)
        for name, said, priority, shown in (
            ("Ready", "Containers that serve, of all.", 0, ready),
            ("Status", "The pod's state.", 0, state),
            ("Restarts", "How often its containers were started again.", 0, restarts),
            ("Age", "How long ago it was made.", 0, _age),
            ("IP", "Where it is reached.", 1, _address),
            ("Node", "Where it runs.", 1, _node),
            ("Nominated Node", "Of Kubernetes; here always <none>.", 1, _none),
            ("Readiness Gates", "Of Kubernetes; here always <none>.", 1, _none),
        )
    ),
    fields={
        "spec.nodeName": ("spec", "nodeName"),
        "spec.restartPolicy": ("spec", "restartPolicy"),
        "status.phase": ("status", "phase"),
        "status.podIP": ("status", "podIP"),
    },
)
