"""What a node says of itself, as its object shows it. Pure.

A node does not decide what may be placed on it: of its labels and taints those stay away that are not its own
to give, and those that are none.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from controller.orchestration.objects.metadata import label_value, qualified
from controller.orchestration.objects.schema import Object
from overlayd.protocol.workload import Report, Taint

CONDITION = "Workloads"
"""Whether the node's channel for applications is open."""
HOSTNAME, REGION = "kubernetes.io/hostname", "topology.kubernetes.io/region"
_RESERVED = ("kubernetes.io", "k8s.io", "overlayd.io")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def labels(name: str, region: str, given: Mapping[str, str], reported: Mapping[str, str]) -> dict[str, str]:
    """Return a node's labels: what its operator has ``given`` to it goes before what the node says."""
    own = {key: value for key, value in sorted(reported.items()) if _is_own(key)}
    known = {HOSTNAME: name} | ({REGION: region} if region else {})
    merged = {**own, **given, **known}
    return {key: value for key, value in merged.items() if not qualified(key) and not label_value(value)}


def taints(reported: tuple[Taint, ...]) -> list[Object]:
    """Return the taints that a node gives itself, each once."""
    found: dict[tuple[str, str], Object] = {}
    for taint in reported:
        if _is_own(taint.key) and not label_value(taint.value) and taint.effect in _EFFECTS:
            value = {"value": taint.value} if taint.value else {}
            found[taint.key, taint.effect] = {"key": taint.key, **value, "effect": taint.effect}
    return [found[key] for key in sorted(found)]


def offered(report: Report) -> Object:
    """Return the parts of a node's status that say what it offers."""
    capacity: dict[str, Any] = msgspec.to_builtins(report.capacity)
    capacity = {key: value for key, value in capacity.items() if value not in (None, {})}
    return {"capacity": capacity, "runtimes": dict(sorted(report.runtimes.items()))}


def condition(connected: bool, before: Object | None, now: str) -> Object:
    """Return whether the channel is open, and since when (``now`` is RFC 3339)."""
    status = "True" if connected else "False"
    since = before["lastTransitionTime"] if before and before["status"] == status else now
    reason, message = (
        ("ChannelOpen", "the node runs what it is given")
        if connected
        else ("ChannelClosed", "the node does not tell of what it runs; it may well go on")
    )
    return {
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }


def _is_own(key: str) -> bool:
    prefix = key.rpartition("/")[0]
    reserved = any(prefix == one or prefix.endswith(f".{one}") for one in _RESERVED)
    return not reserved and not qualified(key)
