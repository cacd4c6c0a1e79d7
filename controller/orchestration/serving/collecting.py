"""Garbage collection: objects go with those that they depend on, in the transaction in which these go. I/O:
writes the store.

Kubernetes does the same some moments later, so that clients see the same in the same order, but never what
waits to be collected.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from controller.orchestration.objects.kinds import Catalogue, Kind
from controller.orchestration.objects.owners import (
    FOREGROUND,
    ORPHAN,
    Propagation,
    blocks,
    ends,
    owners,
    references,
    with_owners,
    without,
)
from controller.orchestration.objects.schema import Object
from controller.orchestration.store.store import Key, Transaction

Delete: TypeAlias = Callable[[Key, Object, Propagation], object]
"""Deletes an object as whoever asks for it would."""
Put: TypeAlias = Callable[[Key, Object], object]
"""Writes an object; one that is being deleted and that nothing holds goes."""


class Collector:
    """What is to be looked at in one transaction because something that it depends on has changed."""

    def __init__(self, kinds: Catalogue, change: Transaction, delete: Delete, put: Put) -> None:
        self._kinds = kinds
        self._change = change
        self._delete = delete
        self._put = put
        self._dependents: deque[Key] = deque()
        self._owners: deque[Key] = deque()

    def begin(self) -> None:
        """Look at all that depends on anything."""
        self._dependents.extend(self._change.owned())

    def changed(self, key: Key, value: Object) -> None:
        """An object was written."""
        uid = value["metadata"]["uid"]
        if references(value):
            self._dependents.append(key)
        if ends(value, FOREGROUND):
            self._dependents.extend(self._change.owned_by(uid))
            self._owners.append(key)
        elif ends(value, ORPHAN):
            for one in self._change.owned_by(uid):
                if (dependent := self._change.read(one)) is not None:
                    left = [ref for ref in references(dependent) if ref["uid"] != uid]
                    self._put(one, with_owners(dependent, left))
            self._put(key, without(value, ORPHAN))

    def gone(self, value: Object) -> None:
        """An object is not there any more."""
        self._dependents.extend(self._change.owned_by(value["metadata"]["uid"]))
        for reference in references(value):
            if (owner := self._owner(value, reference)) is not None:
                self._owners.append(owner)

    def settle(self) -> None:
        """Have what depends on nothing go, and what waited for that."""
        while self._dependents or self._owners:
            while self._dependents:
                self._judge(self._dependents.popleft())
            if self._owners:
                self._release(self._owners.popleft())

    def _judge(self, key: Key) -> None:
        """Let an object go whose owners are gone, or wait for that."""
        value = self._change.read(key)
        if value is None or "deletionTimestamp" in value["metadata"]:
            return
        found = owners(value, partial(self._find, value))
        if found.solid:
            if found.waiting or found.absent:
                self._owners.extend(filter(None, (self._owner(value, one) for one in found.waiting)))
                self._put(key, with_owners(value, list(found.solid)))
        elif found.waiting:
            below = [self._change.read(one) for one in self._change.owned_by(value["metadata"]["uid"])]
            if any(one is not None and ends(one, FOREGROUND) for one in below):  # owners in a circle
                freed = [{**one, "blockOwnerDeletion": False} for one in references(value)]
                value = self._changed(key, with_owners(value, freed))
            self._delete(key, value, "Foreground" if below else "")
        elif found.absent:
            self._delete(key, value, "")

    def _release(self, key: Key) -> None:
        """Let an owner go that waited for the last of those that depend on it and block it."""
        owner = self._change.read(key)
        if owner is None or not ends(owner, FOREGROUND):
            return
        uid = owner["metadata"]["uid"]
        below = (self._change.read(one) for one in self._change.owned_by(uid))
        if not any(one is not None and blocks(one, uid) for one in below):
            self._put(key, without(owner, FOREGROUND))

    def _changed(self, key: Key, value: Object) -> Object:
        made = self._change.write(key, lambda _: value)
        assert made is not None, "what is written is there"
        return made

    def _find(self, value: Object, reference: Object) -> Object | None:
        key = self._owner(value, reference)
        if key is None:
            raise LookupError(reference["kind"])
        return self._change.read(key)

    def _owner(self, value: Object, reference: Object) -> Key | None:
        """Return where an owner would be; None for what is of no kind here, or in a namespace and so no owner
        of what is in none.
        """
        kind = self._kind(reference)
        namespace = value["metadata"].get("namespace", "")
        if kind is None or (kind.namespaced and not namespace):
            return None
        return Key(kind.resource, namespace if kind.namespaced else "", reference["name"])

    def _kind(self, reference: Object) -> Kind | None:
        said = reference["apiVersion"], reference["kind"]
        return next((one for one in self._kinds if (one.api_version, one.name) == said), None)
