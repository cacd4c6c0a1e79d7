"""Objects of one kind as they are, read once and kept up by a watch. I/O: reads the store, on the loop."""

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.selectors import ANY
from controller.orchestration.serving.watching import Hub, Watcher
from controller.orchestration.store.store import Store

LOG = logging.getLogger(__name__)
T = TypeVar("T")


class Name(NamedTuple):
    """``namespace`` is empty for kinds that have none."""

    namespace: str
    name: str


class Known(Generic[T]):
    """The objects of a kind, each as ``read`` makes it. What cannot be read is logged and left out."""

    def __init__(
        self, store: Store, hub: Hub, kind: Kind, read: Callable[[Object], T], woken: asyncio.Event
    ) -> None:
        self._store, self._hub, self._kind, self._read = store, hub, kind, read
        self._woken = woken
        self._versions: dict[Name, int] = {}
        self.all: dict[Name, T] = {}
        self._noted: set[Name] = set()
        self._watcher: Watcher | None = None

    def catch_up(self) -> set[Name]:
        """Take over what has changed since the last call; return the names of what did."""
        if self._watcher is None or self._watcher.over:
            return self._begin()
        changed, self._noted = self._noted, set()
        for seen in self._watcher.take():
            changed |= self._take(msgspec.json.decode(seen.body), seen.type == "DELETED")
        return changed

    def note(self, value: Object, gone: bool = False) -> None:
        """Take over an object that was just written: what is decided next is decided with it."""
        self._noted |= self._take(value, gone)

    def _begin(self) -> set[Name]:
        if self._watcher is not None:
            self._hub.end(self._watcher)
        listed = self._store.select(self._kind.resource)
        self._watcher = self._hub.watch(self._kind.resource, None, ANY, listed.version)
        self._watcher.woken = self._woken
        before = set(self.all)
        self.all.clear()
        self._versions.clear()
        for body in listed.bodies:
            self._take(msgspec.json.decode(body), False)
        return before | set(self.all)

    def _take(self, value: Object, gone: bool) -> set[Name]:
        meta = value["metadata"]
        name, version = Name(meta.get("namespace", ""), meta["name"]), int(meta["resourceVersion"])
        if version <= self._versions.get(name, 0):
            return set()
        self._versions[name] = version
        self.all.pop(name, None)
        if not gone:
            try:
                self.all[name] = self._read(value)
            except (ValueError, msgspec.ValidationError) as problem:
                LOG.warning("%s %s cannot be read: %s", self._kind.name, "/".join(name), problem)
        return {name}
