"""Who watches what: changes are handed to each watcher in order, without gap or repetition.

Lives on one event loop; the store calls :meth:`Hub.wake` through it. I/O: reads the store.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from controller.orchestration.objects.schema import Object
from controller.orchestration.objects.selectors import Selector
from controller.orchestration.store.store import Change, Store

MOST_WAITING = 5000
"""Events that a watcher may be behind; it is let go then, and resumes from the store."""


class Seen(NamedTuple):
    """What a watcher is told: of an object, as it is now or as it was last."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    version: int
    body: bytes


@dataclass(slots=True, eq=False)
class Watcher:
    """One stream of events of a resource, in one namespace or (None) in all."""

    resource: str
    namespace: str | None
    selector: Selector
    since: int
    waiting: deque[Seen] = field(default_factory=deque[Seen])
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    def offer(self, change: Change) -> None:
        """Take a change if it is of what is watched and not known yet."""
        if change.version <= self.since or change.resource != self.resource:
            return
        if self.namespace is not None and change.namespace != self.namespace:
            return
        kind = _type(change, self.selector)
        if kind is None:
            return
        self.waiting.append(Seen(kind, change.version, change.body))
        if len(self.waiting) > MOST_WAITING:
            self.over = True
        self.woken.set()

    def take(self) -> list[Seen]:
        """Return what has been waiting."""
        taken = list(self.waiting)
        self.waiting.clear()
        self.woken.clear()
        return taken


class Hub:
    """All watchers of a store."""

    def __init__(self, store: Store, call: Callable[[Callable[[], None]], object]) -> None:
        """``call`` has a function called on the event loop, from any thread."""
        self._store = store
        self._watchers: set[Watcher] = set()
        self.position = store.version()
        store.listen(lambda: call(self.wake))

    def watch(self, resource: str, namespace: str | None, selector: Selector, since: int) -> Watcher:
        """Begin to watch after version ``since``. Raises :class:`HistoryLost`."""
        watcher = Watcher(resource, namespace, selector, since)
        for change in self._store.changes(since, self.position):
            watcher.offer(change)
        self._watchers.add(watcher)
        return watcher

    def end(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        self._watchers.discard(watcher)

    def wake(self) -> None:
        """Hand on what has changed."""
        changes = self._store.changes(self.position)
        for change in changes:
            for watcher in self._watchers:
                watcher.offer(change)
        if changes:
            self.position = changes[-1].version

    def close(self) -> None:
        """End all streams."""
        for watcher in self._watchers:
            watcher.over = True
            watcher.woken.set()


def _type(change: Change, selector: Selector) -> Literal["ADDED", "MODIFIED", "DELETED"] | None:
    """Tell what a change is to who sees only what ``selector`` takes; None: nothing."""
    before = change.before is not None and _takes(selector, change.before)
    after = not change.gone and _takes(selector, change.body)
    match before, after:
        case True, True:
            return "MODIFIED"
        case True, False:
            return "DELETED"
        case False, True:
            return "ADDED"
        case _:
            return None


def _takes(selector: Selector, body: bytes) -> bool:
    if not selector:
        return True
    value: Object = msgspec.json.decode(body)
    return selector.takes(value)
