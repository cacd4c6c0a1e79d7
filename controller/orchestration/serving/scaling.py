"""The scale subresource: replicas of an object as ``autoscaling/v1`` shows and sets them. Pure."""

import copy
from typing import Any

from controller.orchestration.objects.causes import invalid
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.problems import bad_request, rejected
from controller.orchestration.objects.schema import Object, is_object

_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def read_scale(kind: Kind, value: Object) -> Object:
    """Return the scale of an object."""
    assert kind.scale is not None
    status: Object = {"replicas": _at(value, kind.scale.status) or 0}
    if kind.scale.selector and (selector := _at(value, kind.scale.selector)):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: part for key, part in value["metadata"].items() if key in _KEPT},
        "spec": {"replicas": _at(value, kind.scale.spec) or 0},
        "status": status,
    }


def with_scale(kind: Kind, live: Object, sent: Any) -> Object:
    """Return an object with the replicas of a scale that was sent."""
    assert kind.scale is not None
    scale: Object = sent if is_object(sent) else {}
    replicas: Any = _at(scale, ".spec.replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request('Scale in version "v1" cannot be handled as a Scale: spec.replicas is no integer')
    if replicas < 0:
        said = invalid("spec.replicas", replicas, "should be a non-negative integer")
        raise rejected(kind, live["metadata"]["name"], [said])
    made = copy.deepcopy(live)
    version = _at(scale, ".metadata.resourceVersion")
    if version:
        made["metadata"]["resourceVersion"] = version
    *parents, last = kind.scale.spec.strip(".").split(".")
    holder = made
    for step in parents:
        holder = holder.setdefault(step, {})
    holder[last] = replicas
    return made


def _at(value: Any, path: str) -> Any:
    for step in path.strip(".").split("."):
        value = value.get(step) if is_object(value) else None
    return value
