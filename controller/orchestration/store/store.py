"""Objects by resource, namespace and name: read, listed, written, and what has changed since. I/O.

One counter, the resourceVersion, counts all changes. A write is one transaction from reading to commit,
durable when the call returns. Reads see what was committed and nothing else. History is bounded; who asks for
more of it than is kept gets :class:`HistoryLost`. Methods that write may be called from any thread; one write
runs at a time.
"""

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from controller.orchestration.objects.schema import Object
from controller.orchestration.store.database import connect, open_database

MOST_CHANGES = 10_000
"""Changes that are kept for watches that resume, however old they are."""
KEPT_S = 600
"""Younger changes are kept as well, however many they are."""


class Key(NamedTuple):
    """``resource`` is ``plural.group``; ``namespace`` is empty for kinds that have none."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``before`` is None for an object that was made; one that is ``gone`` is told as it was
    last.
    """

    version: int
    resource: str
    namespace: str
    body: bytes
    before: bytes | None
    gone: bool | int


class HistoryLost(Exception):
    """What happened since is no longer known; ``oldest`` is from where on it is."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"changes before {oldest} are no longer kept")
        self.oldest = oldest


class Listed(NamedTuple):
    """Objects at one moment: ``version`` is the resourceVersion of all of them together."""

    version: int
    bodies: list[bytes]


Decide: TypeAlias = Callable[[Object | None], Object | None]
"""Told the object as it is, says what it is to be; None: it is not to be. What it raises undoes the write."""


class Store:
    """The objects of one controller."""

    def __init__(self, path: Path, *, most_changes: int = MOST_CHANGES, kept_s: int = KEPT_S) -> None:
        self._writer = open_database(path)
        self._reader = connect(path)
        self._lock = threading.RLock()
        self._reading = threading.Lock()
        self._most_changes = most_changes
        self._kept_s = kept_s
        self._listeners: list[Callable[[], object]] = []

    def close(self) -> None:
        with self._lock:
            self._writer.close()
            self._reader.close()

    def listen(self, listener: Callable[[], object]) -> None:
        """Call ``listener`` after each commit, on the thread that wrote."""
        self._listeners.append(listener)

    # Reading

    def read(self, key: Key) -> bytes | None:
        """Return an object as JSON."""
        found = self._reader.execute(
            "SELECT body FROM objects WHERE resource = ? AND namespace = ? AND name = ?", key
        ).fetchone()
        return None if found is None else found[0]

    def select(self, resource: str, namespace: str | None = None) -> Listed:
        """Return all objects of a resource, of one namespace or (None) of all, by namespace and name."""
        asked = "SELECT body FROM objects WHERE resource = ?1 AND (?2 IS NULL OR namespace = ?2)"
        with self._reading:
            self._reader.execute("BEGIN")  # objects and version are of one moment
            try:
                version, _ = self._position()
                rows = self._reader.execute(asked, (resource, namespace)).fetchall()
                return Listed(version, [row[0] for row in rows])
            finally:
                self._reader.execute("COMMIT")

    def version(self) -> int:
        """Return the newest resourceVersion."""
        return self._position()[0]

    def changes(self, since: int, until: int | None = None) -> list[Change]:
        """Return what changed after version ``since``, in order. Raises :class:`HistoryLost`."""
        oldest = self._position()[1]
        if since < oldest:
            raise HistoryLost(oldest)
        rows = self._reader.execute(
            "SELECT version, resource, namespace, body, before, gone FROM changes "
            "WHERE version > ? AND version <= ? ORDER BY version",
            (since, until if until is not None else 1 << 62),
        )
        return [Change(*row) for row in rows]

    def unchanged(self, resource: str, since_s: int) -> list[Key]:
        """Return the keys of objects that nobody has changed since ``since_s`` (Unix seconds)."""
        rows = self._reader.execute(
            "SELECT o.resource, o.namespace, o.name FROM objects o "
            "LEFT JOIN changes c ON c.version = o.version WHERE o.resource = ? AND coalesce(c.at, 0) < ?",
            (resource, since_s),
        )
        return [Key(*row) for row in rows]

    def _position(self) -> tuple[int, int]:
        version, oldest = self._reader.execute("SELECT version, oldest FROM position").fetchone()
        return version, oldest

    # Writing

    def write(self, key: Key, decide: Decide, now_s: int) -> Object | None:
        """Have ``decide`` say what becomes of an object; return what it is then, with its resourceVersion.

        Nothing is written where nothing changes. ``now_s`` is Unix seconds.
        """
        with self.transaction(now_s) as change:
            return change.write(key, decide)

    @contextmanager
    def transaction(self, now_s: int) -> Generator["Transaction"]:
        """Write several objects, all or (if the block raises) none."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                change = Transaction(self._writer, now_s)
                yield change
                if change.written:
                    self._trim(now_s)
            except BaseException:
                self._writer.rollback()
                raise
            self._writer.commit()
        if change.written:
            for listener in self._listeners:
                listener()

    def _trim(self, now_s: int) -> None:
        """Bound the history; a tenth more than asked for may stand, so that few writes pay for it."""
        version, oldest = self._writer.execute("SELECT version, oldest FROM position").fetchone()
        if version - oldest <= self._most_changes * 1.1:
            return
        (until,) = self._writer.execute(
            "SELECT coalesce(max(version), 0) FROM changes WHERE version <= ? AND at <= ?",
            (version - self._most_changes, now_s - self._kept_s),
        ).fetchone()
        if until > oldest:
            self._writer.execute("DELETE FROM changes WHERE version <= ?", (until,))
            self._writer.execute("UPDATE position SET oldest = ?", (until,))


class Transaction:
    """A write under way."""

    def __init__(self, writer: sqlite3.Connection, now_s: int) -> None:
        self._writer = writer
        self._now_s = now_s
        self.written = 0

    def read(self, key: Key) -> Object | None:
        """Return an object as this transaction leaves it."""
        found = self._writer.execute(
            "SELECT body FROM objects WHERE resource = ? AND namespace = ? AND name = ?", key
        ).fetchone()
        return None if found is None else msgspec.json.decode(found[0])

    def within(self, namespace: str) -> list[Key]:
        """Return the keys of all objects of a namespace."""
        rows = self._writer.execute(
            "SELECT resource, namespace, name FROM objects WHERE namespace = ?", (namespace,)
        )
        return [Key(*row) for row in rows]

    def owned_by(self, uid: str) -> list[Key]:
        """Return the keys of all objects that name ``uid`` as an owner."""
        rows = self._writer.execute("SELECT resource, namespace, name FROM owned WHERE owner = ?", (uid,))
        return [Key(*row) for row in rows]

    def owned(self) -> list[Key]:
        """Return the keys of all objects that name owners."""
        rows = self._writer.execute("SELECT DISTINCT resource, namespace, name FROM owned")
        return [Key(*row) for row in rows]

    def write(self, key: Key, decide: Decide) -> Object | None:
        """As :meth:`Store.write`."""
        found = self._writer.execute(
            "SELECT body FROM objects WHERE resource = ? AND namespace = ? AND name = ?", key
        ).fetchone()
        before: bytes | None = None if found is None else found[0]
        live: Object | None = None if before is None else msgspec.json.decode(before)
        wanted = decide(live)
        if wanted is None:
            if live is not None and before is not None:
                self._record(key, self._numbered(live), before, gone=True)
                self._note_owners(key, live, None)
                self._writer.execute(
                    "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", key
                )
            return live
        if wanted == live:
            return live
        body = self._numbered(wanted)
        self._record(key, body, before, gone=False)
        self._note_owners(key, live, body)
        self._writer.execute(
            "INSERT INTO objects VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = ?4, body = ?5",
            (*key, int(body["metadata"]["resourceVersion"]), msgspec.json.encode(body)),
        )
        return body

    def _note_owners(self, key: Key, before: Object | None, after: Object | None) -> None:
        old, new = _owners(before), _owners(after)
        if old == new:
            return
        self._writer.executemany(
            "DELETE FROM owned WHERE owner = ? AND resource = ? AND namespace = ? AND name = ?",
            [(uid, *key) for uid in old - new],
        )
        self._writer.executemany("INSERT INTO owned VALUES (?, ?, ?, ?)", [(uid, *key) for uid in new - old])

    def _numbered(self, value: Object) -> Object:
        (version,) = self._writer.execute(
            "UPDATE position SET version = version + 1 RETURNING version"
        ).fetchone()
        return {**value, "metadata": {**value["metadata"], "resourceVersion": str(version)}}

    def _record(self, key: Key, body: Object, before: bytes | None, *, gone: bool) -> None:
        self.written += 1
        self._writer.execute(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                int(body["metadata"]["resourceVersion"]),
                self._now_s,
                key.resource,
                key.namespace,
                msgspec.json.encode(body),
                before,
                gone,
            ),
        )


def _owners(value: Object | None) -> set[str]:
    if value is None:
        return set()
    return {one["uid"] for one in value["metadata"].get("ownerReferences", ())}
