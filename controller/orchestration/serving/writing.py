"""One transaction in which verbs write objects, and what follows from that: what is to be deleted goes with
its last finalizer, what is in a namespace with it, what depends on others with these. I/O: writes the store.
"""

import dataclasses
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from controller.orchestration.objects import lifecycle, owners
from controller.orchestration.objects.core import NAMESPACE
from controller.orchestration.objects.kinds import Catalogue, Kind
from controller.orchestration.objects.lifecycle import Write
from controller.orchestration.objects.owners import Propagation
from controller.orchestration.objects.schema import Object
from controller.orchestration.serving.collecting import Collector
from controller.orchestration.store.store import Key, Store, Transaction


@contextmanager
def writing(store: Store, kinds: Catalogue, write: Write) -> Generator["Writing"]:
    """Write several objects, all or (if the block raises) none."""
    with store.transaction(int(time.time())) as change:
        made = Writing(change, kinds, write)
        yield made
        made.collector.settle()


class Writing:
    """A transaction under way, of a request."""

    def __init__(self, change: Transaction, kinds: Catalogue, write: Write) -> None:
        self.change = change
        self.read = change.read
        self._write = write
        self._collected = dataclasses.replace(write, grace_s=None)
        self._kinds: Mapping[str, Kind] = {kind.resource: kind for kind in kinds}
        self.collector = Collector(kinds, change, self._collect, self.put)

    def put(self, key: Key, body: Object) -> Object:
        """Write an object and return it; one that is being deleted goes with its last finalizer."""
        if "deletionTimestamp" not in body["metadata"] or lifecycle.finalizers(body):
            made = _there(self.change.write(key, lambda _: body))
            self.collector.changed(key, made)
            return made
        gone = self._end(key, body)
        return {
            **body,
            "metadata": {**body["metadata"], "resourceVersion": gone["metadata"]["resourceVersion"]},
        }

    def take_away(self, key: Key) -> None:
        """Have an object go at once, whatever holds it: what it shows is not there any more."""
        if (live := self.read(key)) is not None:
            self._end(key, live)

    def delete(self, key: Key, live: Object, asked: Propagation) -> Object | None:
        """Delete an object; return it as long as finalizers hold it."""
        return self._delete(key, live, asked, self._write)

    def _collect(self, key: Key, live: Object, asked: Propagation) -> None:
        self._delete(key, live, asked, self._collected)

    def _delete(self, key: Key, live: Object, asked: Propagation, write: Write) -> Object | None:
        kind = self._kinds[key.resource]
        left = lifecycle.deleted(kind, owners.held(live, asked), write)
        if left is None:
            self._end(key, live)
            return None
        left = _there(self.change.write(key, lambda _: left))
        if kind is NAMESPACE:
            for inner in self.change.within(key.name):
                if (content := self.change.read(inner)) is not None:
                    self._delete(inner, content, "", self._collected)
            self._close_namespace(key.name)
        self.collector.changed(key, left)
        return left

    def _end(self, key: Key, body: Object) -> Object:
        gone = _there(self.change.write(key, lambda _: None))
        self.collector.gone(body)
        self._close_namespace(key.namespace)
        return gone

    def _close_namespace(self, name: str) -> None:
        """Let a namespace that is to go do so once nothing is left in it."""
        key = Key(NAMESPACE.resource, "", name)
        live = self.change.read(key) if name else None
        if live is None or "deletionTimestamp" not in live["metadata"] or self.change.within(name):
            return
        live["spec"] = {
            "finalizers": [one for one in live["spec"].get("finalizers", []) if one != "kubernetes"]
        }
        self.change.write(key, lambda _: live if lifecycle.finalizers(live) else None)


def _there(value: Object | None) -> Object:
    assert value is not None, "what is written is there"
    return value
