"""The registry's nodes as objects, with what each says that it offers. I/O: writes the store.

What changes with every report of an agent (when it was last seen) is left out: nobody's watch is to wake
for it. What a node offers stays while it is away, also after the controller began anew.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from controller.config import NodeSection
from controller.orchestration.nodes import described
from controller.orchestration.nodes.described import CONDITION
from controller.orchestration.nodes.presence import Presence
from controller.orchestration.objects.node import NODE
from controller.orchestration.objects.schema import Object
from controller.orchestration.serving.verbs import Verbs
from controller.orchestration.store.store import Key
from controller.registry import Node, timestamp

_RESTLESS = ("lastSeen", "uplinks")
_NOWHERE = NodeSection()
_OFFERED = ("capacity", "runtimes")


def node_object(
    node: Node, place: NodeSection, presence: Presence, before: Object | None, now: str
) -> Object:
    """Return a node as the API shows it, without a resourceVersion. ``before``: as it was shown last;
    ``now`` is RFC 3339.
    """
    value: Object = msgspec.json.decode(msgspec.json.encode(node))  # lists, as the store gives them back
    meta: Object = value["metadata"]
    del meta["resourceVersion"]
    name = node.metadata.name
    status: dict[str, Any] = {key: part for key, part in value["status"].items() if key not in _RESTLESS}
    report = presence.report(name)
    if report is not None:
        meta["labels"] = described.labels(name, place.region, place.labels, report.labels)
        taints, offered = described.taints(report.taints), described.offered(report)
    else:
        known = before or {}
        kept: dict[str, str] = known["metadata"].get("labels", {}) if known else {}
        meta["labels"] = described.labels(name, place.region, place.labels, kept)
        taints = known.get("spec", {}).get("taints", [])
        offered = {key: part for key, part in known.get("status", {}).items() if key in _OFFERED}
    if offered:
        last = [
            one for one in (before or {}).get("status", {}).get("conditions", []) if one["type"] == CONDITION
        ]
        here = described.condition(presence.connected(name), last[0] if last else None, now)
        status["conditions"] = [*status["conditions"], here]
    status |= offered
    return {
        "apiVersion": NODE.api_version,
        "kind": NODE.name,
        "metadata": {key: part for key, part in meta.items() if part not in ({}, [])},
        "spec": value["spec"] | ({"taints": taints} if taints else {}),
        "status": {key: part for key, part in status.items() if part is not None},
    }


class Mirror:
    """Keeps the objects of nodes those of a registry; what depends on a node goes with it. ``places``: what
    the configuration says of nodes, by name.
    """

    def __init__(self, verbs: Verbs, presence: Presence, places: Mapping[str, NodeSection]) -> None:
        self._verbs = verbs
        self._presence = presence
        self._places = places
        self._shown: dict[str, tuple[object, ...]] = {}

    def reflect(self, nodes: Iterable[Node], now_s: int) -> int:
        """Take over what has changed; return how many objects were written. Cheap where nothing has."""
        listed = list(nodes)
        lasting = {node.metadata.name: (*_lasting(node), *self._here(node)) for node in listed}
        self._presence.keep(frozenset(lasting))
        if lasting == self._shown:
            return 0
        written = self._write(listed, now_s)
        self._shown = lasting
        return written

    def _write(self, nodes: list[Node], now_s: int) -> int:
        there: dict[Key, Object] = {}
        for body in self._verbs.store.select(NODE.resource).bodies:
            value: Object = msgspec.json.decode(body)
            there[Key(NODE.resource, "", value["metadata"]["name"])] = value
        wanted: dict[Key, Object] = {}
        for node in nodes:
            name = node.metadata.name
            key = Key(NODE.resource, "", name)
            before = there.get(key)
            if before is not None and _uid(before) != node.metadata.uid:
                before = None  # another host of this name
            now = timestamp(now_s)
            place = self._places.get(name, _NOWHERE)
            wanted[key] = node_object(node, place, self._presence, before, now)
        changed = {key: value for key, value in wanted.items() if not _same(there.get(key), value)}
        gone = {key for key, value in there.items() if key not in wanted or _uid(wanted[key]) != _uid(value)}
        if changed or gone:
            with self._verbs.showing() as change:
                for key in sorted(gone):
                    change.take_away(key)
                for key, value in changed.items():
                    change.put(key, value)
        return len(changed.keys() | gone)

    def _here(self, node: Node) -> tuple[object, ...]:
        name = node.metadata.name
        return (self._presence.report(name), self._presence.connected(name))


def _lasting(node: Node) -> tuple[object, ...]:
    meta, status = node.metadata, node.status
    seen = (status.conditions, status.announced, status.version, status.certificate_not_after)
    return (meta.uid, meta.generation, meta.labels, node.spec, *seen)


def _uid(value: Object) -> str:
    return value["metadata"]["uid"]


def _same(there: Object | None, wanted: Object) -> bool:
    if there is None:
        return False
    meta = {key: part for key, part in there["metadata"].items() if key != "resourceVersion"}
    return {**there, "metadata": meta} == wanted
