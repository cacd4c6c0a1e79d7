"""Nodes and user groups as the API shows them, as placement sees them. Pure."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Any

import numpy as np

from controller.orchestration.objects.schema import Object
from controller.orchestration.placement.wanted import CLOUD_LABEL as CLOUD_LABEL
from controller.orchestration.placement.world import Host, Taint, Users

REGION_LABEL = "topology.kubernetes.io/region"
PRICE_LABEL = "overlayd.io/price-per-hour"
"""What a replica costs there, an hour, in the operator's own unit: a label that `controller.toml` sets."""
_RESOURCES = {"cpuMilli": "cpu", "memoryBytes": "memory", "diskBytes": "disk", "mbps": "mbps"}


def host_of(node: Object, taken: Mapping[str, float], alive: bool, reached: bool, up: float = 1.0) -> Host:
    """Return a node. ``taken`` is what replicas have of it, ``reached``: by the controller;
    ``up``: the share of the time it was there.
    """
    meta, status = node["metadata"], node.get("status", {})
    labels: dict[str, str] = meta.get("labels", {})
    told: Mapping[str, Any] = status.get("capacity", {})
    capacity = {name: float(told[key]) for key, name in _RESOURCES.items() if key in told}
    capacity |= {name: float(count) for name, count in told.get("devices", {}).items()}
    free = {name: amount - taken.get(name, 0.0) for name, amount in capacity.items()}
    conditions = status.get("conditions", [])
    serves = any(one["type"] == "Workloads" for one in conditions) and bool(capacity)
    taints = tuple(
        Taint(one["key"], one.get("value", ""), one.get("effect", "NoSchedule"))
        for one in node.get("spec", {}).get("taints", [])
    )
    return Host(
        meta["name"],
        capacity,
        free,
        labels,
        taints,
        labels.get(REGION_LABEL, ""),
        alive,
        reached,
        serves,
        _price(labels),
        up,
        frozenset(status.get("runtimes", {})),
    )


def users_of(group: Object, index: Mapping[str, int], nodes: Iterable[Object]) -> Users:
    """Return where a group's users enter, by ``index`` of nodes' names. What enters nowhere that is known is
    left out.
    """
    spec = group.get("spec", {})
    entries = [(one["node"], one) for one in spec.get("ingress", [])]
    prefixes = spec.get("prefixes", [])
    announced = _announced(nodes) if any("node" not in one for one in prefixes) else []
    for one in prefixes:
        entries.append((one.get("node") or _announcer(one["cidr"], announced), one))
    known = [(index[name], one) for name, one in entries if name in index]
    return Users(
        np.array([node for node, _ in known], np.intp),
        np.array([one.get("weight", 1.0) for _, one in known], np.float64),
        np.array([one.get("lastMileMs", 0.0) for _, one in known], np.float64),
    )


def _price(labels: Mapping[str, str]) -> float:
    """Return the price; none where the label is no number."""
    try:
        return max(0.0, float(labels.get(PRICE_LABEL, "0")))
    except ValueError:
        return 0.0


def _announced(nodes: Iterable[Object]) -> list[tuple[Any, str]]:
    return [
        (ip_network(prefix), node["metadata"]["name"])
        for node in nodes
        for prefix in node.get("status", {}).get("announced", [])
    ]


def _announcer(cidr: str, announced: list[tuple[Any, str]]) -> str:
    """Return who announces the narrowest prefix that contains ``cidr``; empty if nobody does."""
    asked = ip_network(cidr)
    over = [
        (prefix.prefixlen, name)
        for prefix, name in announced
        if prefix.version == asked.version and asked.subnet_of(prefix)
    ]
    return max(over, default=(0, ""))[1]
