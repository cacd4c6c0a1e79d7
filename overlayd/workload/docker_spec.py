"""A container of a pod as Docker's Engine API has it, and what it says of one. Pure.

What has to be known again after this unit's restart stands in labels. ``owner`` tells nodes apart that
share one Docker, as in labs.
"""

import datetime
import re
from typing import Any, Final

from overlayd.protocol.pod import Container, Pod
from overlayd.workload.environment import Mount, expanded
from overlayd.workload.limits import PERIOD_US, Limits
from overlayd.workload.messages import Ended, PodUid, Run, RunId, Start

OWNER: Final = "overlayd.io/owner"
UID: Final = "overlayd.io/pod-uid"
CONTAINER: Final = "overlayd.io/container"
ATTEMPT: Final = "overlayd.io/attempt"
DIGEST: Final = "overlayd.io/digest"
POD: Final = "overlayd.io/pod"
LOG: Final = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
_FRACTION = re.compile(r"\.(\d+)")
OUT_OF_MEMORY = "OOMKilled"


def has_sandbox(pod: Pod) -> bool:
    """Tell whether its containers join the network of one more, which does nothing else."""
    return len(pod.spec.containers) > 1 and not pod.spec.host_network


def sandbox_name(uid: str) -> str:
    return f"overlayd-{uid}"


def run_name(id: RunId, attempt: int) -> str:
    return f"overlayd-{id.uid}-{id.container}-{attempt}"


def sandbox(pod: Pod, image: str, owner: str, address: str) -> dict[str, Any]:
    """Return what holds the pod's network, at whose ports the host's lead."""
    exposed, bound = _ports(pod.spec.containers, address)
    return {
        "Image": image,
        "Hostname": pod.metadata.name[:63],
        "Labels": {OWNER: owner, UID: pod.metadata.uid, POD: _named(pod)},
        "ExposedPorts": exposed,
        "HostConfig": {
            "NetworkMode": "bridge", "PortBindings": bound, "RestartPolicy": {"Name": "no"}, "LogConfig": LOG,
        },
    }  # fmt: skip


def container(
    start: Start,
    env: dict[str, str],
    mounts: list[Mount],
    limits: Limits,
    owner: str,
    address: str,
    network: str,
) -> dict[str, Any]:
    """Return a run of a container. ``network``: ``host``, ``bridge``, or ``container:ID`` of a sandbox."""
    wanted = start.container
    host: dict[str, Any] = {
        "NetworkMode": network,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": LOG,
        "CpuShares": limits.shares,
        "PidsLimit": limits.processes,
        "Mounts": [
            {"Type": "bind", "Source": one.source, "Target": one.target, "ReadOnly": one.read_only}
            for one in mounts
        ],
    }
    if limits.memory_bytes:
        host |= {"Memory": limits.memory_bytes, "MemorySwap": limits.memory_bytes}
    if limits.cpu_milli:
        host |= {"CpuPeriod": PERIOD_US, "CpuQuota": limits.quota_us}
    made: dict[str, Any] = {
        "Image": wanted.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {
            OWNER: owner, UID: start.id.uid, CONTAINER: wanted.name, ATTEMPT: str(start.attempt),
            DIGEST: start.digest, POD: _named(start.pod),
        },
        "HostConfig": host,
    }  # fmt: skip
    if wanted.command:
        made["Entrypoint"] = [expanded(one, env) for one in wanted.command]
    if wanted.args:
        made["Cmd"] = [expanded(one, env) for one in wanted.args]
    if wanted.working_dir:
        made["WorkingDir"] = wanted.working_dir
    if network == "bridge":
        made["Hostname"] = start.pod.metadata.name[:63]
        made["ExposedPorts"], host["PortBindings"] = _ports((wanted,), address)
    return made


def run_of(shown: dict[str, Any], address: str) -> Run | None:
    """Return the run that an inspected container is; None: it is none of ours, or was never started."""
    labels: dict[str, str] = shown["Config"].get("Labels") or {}
    attempt = labels.get(ATTEMPT, "")
    if UID not in labels or CONTAINER not in labels or not attempt.isdecimal():
        return None
    state = shown["State"]
    if state.get("Status") == "created":
        return None
    started_ns = unix_ns(state.get("StartedAt", ""))
    going = bool(state.get("Running"))
    return Run(
        RunId(PodUid(labels[UID]), labels[CONTAINER]),
        int(attempt),
        labels.get(DIGEST, ""),
        "docker",
        started_ns,
        None if going else ended(state),
        image_id=shown.get("Image", ""),
        container_id=f"docker://{shown['Id']}",
        address=address,
    )


def ended(state: dict[str, Any]) -> Ended:
    """Return how a container ended, from its ``State``."""
    reason = OUT_OF_MEMORY if state.get("OOMKilled") else ""
    finished_ns = unix_ns(state.get("FinishedAt", ""))
    return Ended(int(state.get("ExitCode", 0)), reason, state.get("Error", ""), finished_ns)


def address_of(shown: dict[str, Any]) -> str:
    """Return the address of an inspected container on Docker's bridge; "": it has none of its own."""
    settings: dict[str, Any] = shown.get("NetworkSettings") or {}
    if settings.get("IPAddress"):
        return settings["IPAddress"]
    networks: dict[str, Any] = settings.get("Networks") or {}
    return next((one["IPAddress"] for one in networks.values() if one.get("IPAddress")), "")


def unix_ns(text: str) -> int:
    """Return a time of Docker's (RFC 3339, nanoseconds) as Unix time; 0 for one that never was."""
    fraction = _FRACTION.search(text)
    try:
        moment = datetime.datetime.fromisoformat(_FRACTION.sub("", text).replace("Z", "+00:00"))
    except ValueError:
        return 0
    seconds = int(moment.timestamp())
    digits = fraction[1] if fraction else ""
    return 0 if seconds <= 0 else seconds * 1_000_000_000 + int(f"{digits:0<9}"[:9])


def _ports(containers: tuple[Container, ...], address: str) -> tuple[dict[str, Any], dict[str, Any]]:
    exposed: dict[str, Any] = {}
    bound: dict[str, Any] = {}
    for one in containers:
        for port in one.ports:
            key = f"{port.container_port}/{port.protocol.lower()}"
            exposed[key] = {}
            if port.host_port:
                bound.setdefault(key, []).append({"HostIp": address, "HostPort": str(port.host_port)})
    return exposed, bound


def _named(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"
