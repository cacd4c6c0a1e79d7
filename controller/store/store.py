"""The store as the rest of the controller sees it: one object, one method per question. I/O.

Writers call it inside :meth:`Store.transaction`. Statements are grouped by subject: network, nodes,
tokens, revocations, routes, decisions, link frames.
"""

import heapq
import itertools
import logging
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from controller.core.changes import Changes, PackedChanges, RouteEvent, events_of
from controller.core.rows import RouteRows
from controller.enrolment.errors import NotAMember, TokenUsed
from controller.enrolment.tokens import TokenGrant
from controller.policy.rules import Pin
from controller.registry import Node
from controller.store import database
from overlayd.model.ids import Generation, NodeId
from overlayd.model.ids import Path as NodePath
from overlayd.model.node import Revocation, SignedRecord, SignedRevocation
from overlayd.protocol.routes import RouteColumns

LOG = logging.getLogger(__name__)

_S = TypeVar("_S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """What the network is. ``psk`` is 32 bytes in hex, ``created_at`` Unix seconds."""

    id: int
    name: str
    suite: str
    psk: str
    ipv4_pool: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Member:
    """A node with what was signed about it."""

    node: Node
    record: SignedRecord


class Store:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection

    @classmethod
    def create(cls, path: Path, network: NetworkRow) -> "Store":
        """Make the database of a new network."""
        store = cls(database.create(path))
        with store.transaction():
            store._sql.execute(
                "INSERT INTO network (singleton, id, name, suite, psk, ipv4_pool, created_at)"
                " VALUES (1,?,?,?,?,?,?)",
                astuple(network),
            )
        return store

    @classmethod
    def open(cls, path: Path, *, check: bool = False) -> "Store":
        """Open an existing database; with ``check`` read it whole first. Raises `database.StoreError`."""
        connection = database.open_existing(path)
        if check:
            database.check(connection, path)
        return cls(connection)

    def close(self) -> None:
        self._sql.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Run a block as one write: all or nothing."""
        return database.transaction(self._sql)

    def data_version(self) -> int:
        """Return a number that changes when another process has written."""
        return database.data_version(self._sql)

    # Network

    def network(self) -> NetworkRow:
        row = self._sql.execute("SELECT id, name, suite, psk, ipv4_pool, created_at FROM network").fetchone()
        return NetworkRow(*row)

    def generation(self) -> Generation:
        (value,) = self._sql.execute("SELECT generation FROM network").fetchone()
        return Generation(value)

    def save_generation(self, generation: Generation) -> None:
        """Keep the newest generation; an older one changes nothing."""
        self._sql.execute("UPDATE network SET generation = max(generation, ?)", (generation,))

    # Nodes

    def members(self) -> list[Member]:
        """Return all nodes that were not removed, by id."""
        rows = self._sql.execute(
            "SELECT object, record, signature FROM nodes WHERE removed_at IS NULL ORDER BY id"
        ).fetchall()
        return [Member(msgspec.json.decode(o, type=Node), SignedRecord(r, s)) for o, r, s in rows]

    def member(self, node: NodeId) -> Member:
        """Return one node. Raises :class:`NotAMember` if it was removed or never was."""
        row = self._sql.execute(
            "SELECT object, record, signature FROM nodes WHERE id = ? AND removed_at IS NULL", (node,)
        ).fetchone()
        if row is None:
            raise NotAMember(f"node {node} is no member of this network (any more)")
        return Member(msgspec.json.decode(row[0], type=Node), SignedRecord(row[1], row[2]))

    def ids_ever_used(self) -> list[NodeId]:
        return [NodeId(i) for (i,) in self._sql.execute("SELECT id FROM nodes")]

    def ids_reusable(self, unix_s: float) -> list[NodeId]:
        """Return ids of removed nodes whose certificates have ended."""
        rows = self._sql.execute(
            "SELECT id FROM nodes WHERE removed_at IS NOT NULL AND certificate_not_after < ?", (int(unix_s),)
        )
        return [NodeId(i) for (i,) in rows]

    def save_member(self, node: Node, record: SignedRecord, certificate_not_after: int) -> Node:
        """Insert a node with its record, or replace the one with its id; return it with its new resource
        version.
        """
        node = self._versioned(node)
        self._sql.execute(
            "INSERT INTO nodes (id, name, object, record, signature, certificate_not_after)"
            " VALUES (?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET name = excluded.name,"
            " object = excluded.object, record = excluded.record, signature = excluded.signature,"
            " certificate_not_after = excluded.certificate_not_after, removed_at = NULL",
            (
                node.spec.id,
                node.metadata.name,
                msgspec.json.encode(node).decode(),
                record.record,
                record.signature,
                certificate_not_after,
            ),
        )
        return node

    def save_node(self, node: Node, record: SignedRecord | None = None) -> Node:
        """Replace a node's object, and its record if one is given; return it with its new resource
        version.
        """
        node = self._versioned(node)
        body = msgspec.json.encode(node).decode()
        self._sql.execute(
            "UPDATE nodes SET object = ? WHERE id = ? AND removed_at IS NULL", (body, node.spec.id)
        )
        if record is not None:
            self._sql.execute(
                "UPDATE nodes SET record = ?, signature = ? WHERE id = ?",
                (record.record, record.signature, node.spec.id),
            )
        return node

    def remove_node(self, node: NodeId, unix_s: float) -> None:
        """Mark a node as removed and forget its routes; its name becomes free, its id does not yet."""
        self._sql.execute("UPDATE nodes SET removed_at = ? WHERE id = ?", (int(unix_s), node))
        self._sql.execute("DELETE FROM routes WHERE source = ?", (node,))
        self._sql.execute(
            "DELETE FROM pins WHERE source = ?1 OR destination = ?1 OR ',' || relays || ',' LIKE ?2",
            (node, f"%,{node},%"),
        )

    # Tokens

    def save_token(self, token: TokenGrant) -> None:
        self._sql.execute(
            "INSERT INTO tokens VALUES (?,?,?,?,?,?,?,?)",
            (
                token.digest,
                token.name,
                token.relay,
                msgspec.json.encode(token.prefixes).decode(),
                token.price_per_gb,
                token.created_at,
                token.expires_at,
                token.used_at,
            ),
        )

    def token(self, digest: str) -> TokenGrant | None:
        row = self._sql.execute("SELECT * FROM tokens WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else _token(row)

    def tokens(self) -> list[TokenGrant]:
        """Return all tokens that were ever made, newest first."""
        return [
            _token(row) for row in self._sql.execute("SELECT * FROM tokens ORDER BY created_at DESC, digest")
        ]

    def consume_token(self, digest: str, unix_s: float) -> None:
        """Use a token up. Raises :class:`TokenUsed` unless exactly this call did it."""
        cursor = self._sql.execute(
            "UPDATE tokens SET used_at = ?1 WHERE digest = ?2 AND used_at IS NULL AND expires_at > ?1",
            (int(unix_s), digest),
        )
        if cursor.rowcount != 1:
            raise TokenUsed("this token was used already")

    # Revocations

    def revocation_epoch(self) -> int:
        """Return the epoch of the newest revocation; 0: none yet."""
        (epoch,) = self._sql.execute("SELECT coalesce(max(epoch), 0) FROM revocations").fetchone()
        return int(epoch)

    def revocations(self, after: int) -> list[tuple[NodeId, SignedRevocation]]:
        """Return the newest revocation of each node, of those with an epoch above ``after``; oldest first."""
        rows = self._sql.execute(
            "SELECT node, body, signature FROM revocations AS newest WHERE epoch > ? AND NOT EXISTS"
            " (SELECT 1 FROM revocations WHERE node = newest.node AND epoch > newest.epoch) ORDER BY epoch",
            (after,),
        )
        return [(NodeId(node), SignedRevocation(body, signature)) for node, body, signature in rows]

    def save_revocation(self, revocation: Revocation, signed: SignedRevocation) -> None:
        self._sql.execute(
            "INSERT INTO revocations VALUES (?,?,?,?,?)",
            (revocation.epoch, revocation.node, revocation.at, signed.revocation, signed.signature),
        )

    # Routes

    def routes(self) -> list[tuple[NodeId, RouteColumns]]:
        """Return the routes in force by ingress, without those that cannot be read."""
        found: list[tuple[NodeId, RouteColumns]] = []
        for source, blob in self._sql.execute("SELECT source, routes FROM routes ORDER BY source"):
            try:
                found.append((NodeId(source), msgspec.msgpack.decode(blob, type=RouteColumns)))
            except ValueError as error:  # msgspec's, or of text that is not UTF-8
                LOG.error("the routes of node %d cannot be read (%s); they are chosen anew", source, error)
        return found

    def save_routes(self, rows: Iterable["Row"]) -> None:
        """Keep all routes of some sources, as :func:`route_rows` made them ready."""
        self._sql.executemany("INSERT OR REPLACE INTO routes VALUES (?,?)", rows)

    def append_changes(self, at: float, rows: Iterable["Row"]) -> None:
        """Keep what a decision changed, as :func:`change_rows` made it ready."""
        self._sql.executemany(
            "INSERT INTO route_changes (at, source, changes) VALUES (?,?,?)",
            ((at, source, blob) for source, blob in rows),
        )

    def append_history(self, events: Iterable[RouteEvent]) -> None:
        """Keep what nodes did by themselves."""
        self._sql.executemany(
            "INSERT INTO route_history"
            " (at, source, destination, class, decider, before, after, reason) VALUES (?,?,?,?,?,?,?,?)",
            (
                (
                    event.at,
                    event.source,
                    event.destination,
                    event.class_id,
                    event.decider,
                    _path_text(event.before),
                    _path_text(event.after),
                    event.reason,
                )
                for event in events
            ),
        )

    def history(
        self,
        source: NodeId,
        destination: NodeId,
        class_id: int | None,
        limit: int,
        until: float | None = None,
    ) -> Sequence[RouteEvent]:
        """Return the newest changes of one route (None: of all classes), newest first; with ``until`` none
        that came later.
        """
        rows = self._sql.execute(
            "SELECT at, source, destination, class, decider, before, after, reason FROM route_history"
            " WHERE source = ?1 AND destination = ?2 AND (?3 IS NULL OR class = ?3)"
            " AND (?5 IS NULL OR at <= ?5) ORDER BY at DESC, id DESC LIMIT ?4",
            (source, destination, class_id, limit, until),
        )
        by_nodes = [
            RouteEvent(at, s, d, c, decider, _path(before), _path(after), reason)
            for at, s, d, c, decider, before, after, reason in rows
        ]
        decided = self._sql.execute(
            "SELECT at, changes FROM route_changes WHERE source = ?1 AND (?2 IS NULL OR at <= ?2)"
            " ORDER BY at DESC, id DESC",
            (source, until),
        )
        by_controller = (
            event
            for at, blob in decided
            for event in events_of(at, source, _unpack(blob, PackedChanges), destination)
            if class_id in (None, event.class_id)
        )
        both = heapq.merge(by_nodes, by_controller, key=lambda event: -event.at)
        return list(itertools.islice(both, limit))

    def newest_changes(self, limit: int, until: float | None) -> Sequence[RouteEvent]:
        """Return the newest changes of all routes, newest first; with ``until`` none that came later."""
        rows = self._sql.execute(
            "SELECT at, source, destination, class, decider, before, after, reason FROM route_history"
            " WHERE ?1 IS NULL OR at <= ?1 ORDER BY at DESC, id DESC LIMIT ?2",
            (until, limit),
        )
        by_nodes = [
            RouteEvent(at, s, d, c, decider, _path(before), _path(after), reason)
            for at, s, d, c, decider, before, after, reason in rows
        ]
        decided = self._sql.execute(
            "SELECT at, source, changes FROM route_changes WHERE ?1 IS NULL OR at <= ?1"
            " ORDER BY at DESC, id DESC",
            (until,),
        )
        by_controller = (
            event
            for at, source, blob in decided
            for event in events_of(at, source, _unpack(blob, PackedChanges))
        )
        both = heapq.merge(by_nodes, by_controller, key=lambda event: -event.at)
        return list(itertools.islice(both, limit))

    # Pins

    def pins(self) -> list[tuple[Pin, float]]:
        """Return all pins, each with when it was set (Unix seconds)."""
        rows = self._sql.execute(
            "SELECT source, destination, class, relays, set_at FROM pins ORDER BY source, destination, class"
        )
        return [
            (Pin(NodeId(a), NodeId(b), None if number < 0 else number, _path(relays) or ()), set_at)
            for a, b, number, relays, set_at in rows
        ]

    def save_pin(self, pin: Pin, unix_s: float) -> None:
        """Keep a pin in the place of one for the same route and class."""
        self._sql.execute(
            "INSERT OR REPLACE INTO pins VALUES (?,?,?,?,?)",
            (pin.source, pin.destination, _class_number(pin.class_id), _path_text(pin.relays), unix_s),
        )

    def delete_pins(self, source: NodeId, destination: NodeId, class_id: int | None) -> int:
        """Forget the pin of a route and class (None: all of the route's); return how many there were."""
        cursor = self._sql.execute(
            "DELETE FROM pins WHERE source = ?1 AND destination = ?2 AND (?3 = -1 OR class = ?3)",
            (source, destination, _class_number(class_id)),
        )
        return cursor.rowcount

    # Decisions

    def append_decision(self, unix_s: float, base: float, inputs: bytes) -> None:
        """Keep what a decision was made from, as the difference to that of ``base``; of itself: whole."""
        row = (unix_s, base, len(inputs), inputs)
        self._sql.execute("INSERT OR REPLACE INTO decisions VALUES (?,?,?,?)", row)

    def decision(self, until: float) -> tuple[bytes, bytes | None] | None:
        """Return what the newest decision not later than ``until`` was made from, and the record that it is
        the difference to; None where it is whole.
        """
        return self._sql.execute(
            "SELECT one.inputs, whole.inputs FROM decisions one LEFT JOIN decisions whole"
            " ON whole.at = one.base AND one.base <> one.at WHERE one.at <= ? ORDER BY one.at DESC LIMIT 1",
            (until,),
        ).fetchone()

    def prune_decisions(self, before: float, most_bytes: float) -> None:
        """Forget decisions older than ``before``, and the oldest ones above so many bytes in all: each whole
        record with all its differences, or none of them.
        """
        self._sql.execute(
            "DELETE FROM decisions WHERE base IN (SELECT base FROM (SELECT base, max(at) AS newest,"
            " sum(sum(size)) OVER (ORDER BY base DESC) AS held FROM decisions GROUP BY base)"
            " WHERE newest < ? OR held > ?)",
            (before, most_bytes),
        )

    def has_decision(self, unix_s: float) -> bool:
        """Tell whether there is a record of that very moment."""
        return self._sql.execute("SELECT 1 FROM decisions WHERE at = ?", (unix_s,)).fetchone() is not None

    # Link frames

    def append_frame(self, level: int, unix_s: float, base: float, frame: bytes) -> None:
        """Keep a packed frame of ``level`` (seconds); ``base`` is when its differences begin."""
        self._sql.execute("INSERT OR REPLACE INTO link_frames VALUES (?,?,?,?)", (level, unix_s, base, frame))

    def frame_chain(self, level: int, until: float) -> list[tuple[float, bytes]]:
        """Return the newest frame of ``level`` that is not later than ``until``, after those that it builds
        on; nothing if there is none.
        """
        return self._sql.execute(
            "SELECT at, frame FROM link_frames AS one, (SELECT at AS newest, base FROM link_frames"
            " WHERE level = ?1 AND at <= ?2 ORDER BY at DESC LIMIT 1) AS last"
            " WHERE level = ?1 AND at BETWEEN last.base AND last.newest ORDER BY at",
            (level, until),
        ).fetchall()

    def frames(self, level: int, after: float, until: float) -> list[tuple[float, bool, bytes]]:
        """Return (time, complete, frame) of ``level`` later than ``after``, up to ``until``; oldest first."""
        rows = self._sql.execute(
            "SELECT at, base = at, frame FROM link_frames WHERE level = ? AND at > ? AND at <= ? ORDER BY at",
            (level, after, until),
        )
        return [(at, bool(complete), frame) for at, complete, frame in rows]

    def newest_frame(self, level: int) -> float | None:
        """Return when the newest frame of ``level`` was made; None if there is none."""
        (at,) = self._sql.execute("SELECT max(at) FROM link_frames WHERE level = ?", (level,)).fetchone()
        return at

    def prune_frames(self, level: int, before: float) -> None:
        """Forget frames of ``level`` that build on one older than ``before``: a chain goes as a whole."""
        self._sql.execute("DELETE FROM link_frames WHERE level = ? AND base < ?", (level, before))

    def prune(self, before: float) -> None:
        """Forget route history older than ``before`` (Unix seconds), and tokens that are of no use."""
        self._sql.execute("DELETE FROM route_history WHERE at < ?", (before,))
        self._sql.execute("DELETE FROM route_changes WHERE at < ?", (before,))
        self._sql.execute("DELETE FROM tokens WHERE expires_at < ?", (int(before),))

    def _versioned(self, node: Node) -> Node:
        (version,) = self._sql.execute(
            "UPDATE network SET resource_version = resource_version + 1 RETURNING resource_version"
        ).fetchone()
        return replace(node, metadata=replace(node.metadata, resource_version=str(version)))


Row: TypeAlias = tuple[NodeId, bytes]
"""A source, and what is kept of it."""


def route_rows(routes: Iterable[RouteRows]) -> list[Row]:
    """Return what is written of routes. Takes most of the time: to be done before the write lock is taken."""
    return [(rows.source, msgspec.msgpack.encode(rows.pack())) for rows in routes]


def change_rows(changes: Changes) -> list[Row]:
    """Return what is written of changes; to be done before the write lock is taken, too."""
    return [(source, _pack(packed)) for source, packed in changes.packed()]


def _token(row: tuple[str, str, int, str, float, int, int, int | None]) -> TokenGrant:
    digest, name, relay, prefixes, price, created_at, expires_at, used_at = row
    allowed = msgspec.json.decode(prefixes, type=tuple[str, ...])
    return TokenGrant(digest, name, bool(relay), allowed, price, created_at, expires_at, used_at)


def _pack(value: msgspec.Struct) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(value), 1)


def _unpack(blob: bytes, kind: type[_S]) -> _S:
    return msgspec.msgpack.decode(zlib.decompress(blob), type=kind)


def _class_number(class_id: int | None) -> int:
    return -1 if class_id is None else class_id


def _path_text(path: NodePath | None) -> str | None:
    return None if path is None else ",".join(map(str, path))


def _path(text: str | None) -> NodePath | None:
    return None if text is None else tuple(NodeId(int(part)) for part in text.split(",") if part)
