"""The registry's nodes as objects: what joined, changed or left there is written here. I/O: writes the store.

What changes with every report of an agent (when it was last seen) is left out: nobody's watch is to wake
for it.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from controller.orchestration.objects.node import NODE
from controller.orchestration.objects.schema import Object
from controller.orchestration.store.store import Key, Store
from controller.registry import Node

_RESTLESS = ("lastSeen", "uplinks")


def node_object(node: Node) -> Object:
    """Return a node as the API shows it, without a resourceVersion."""
    value: Object = msgspec.to_builtins(node)
    meta: Object = value["metadata"]
    del meta["resourceVersion"]
    status: dict[str, Any] = {key: part for key, part in value["status"].items() if key not in _RESTLESS}
    return {
        "apiVersion": NODE.api_version,
        "kind": NODE.name,
        "metadata": {key: part for key, part in meta.items() if part not in ({}, [])},
        "spec": value["spec"],
        "status": {key: part for key, part in status.items() if part is not None},
    }


class Mirror:
    """Keeps a store's nodes those of a registry."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shown: dict[str, tuple[object, ...]] = {}

    def reflect(self, nodes: Iterable[Node], now_s: int) -> int:
        """Take over what has changed; return how many objects were written. Cheap where nothing has."""
        listed = list(nodes)
        lasting = {node.metadata.name: _lasting(node) for node in listed}
        if lasting == self._shown:
            return 0
        written = self._write(listed, now_s)
        self._shown = lasting
        return written

    def _write(self, nodes: list[Node], now_s: int) -> int:
        wanted = {Key(NODE.resource, "", node.metadata.name): node_object(node) for node in nodes}
        there: dict[Key, Object] = {}
        for body in self._store.select(NODE.resource).bodies:
            value: Object = msgspec.json.decode(body)
            there[Key(NODE.resource, "", value["metadata"]["name"])] = value
        changed = {key: value for key, value in wanted.items() if not _same(there.get(key), value)}
        gone = {key for key, value in there.items() if key not in wanted or _uid(wanted[key]) != _uid(value)}
        if changed or gone:
            with self._store.transaction(now_s) as change:
                for key in sorted(gone):
                    change.write(key, lambda _: None)
                for key, value in changed.items():
                    change.write(key, lambda _, value=value: value)
        return len(changed.keys() | gone)


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
