"""Opening ``orchestration.db``: made where there is none, brought up to date where an older version wrote it,
refused where a newer one did. I/O.
"""

import sqlite3
from pathlib import Path

from controller.store.database import BUSY_TIMEOUT_S, StoreDamaged, StoreError, StoreNewer

FILE_NAME = "orchestration.db"
APPLICATION_ID = 0x6F766F72  # "ovor"
_STEPS = (
    """
CREATE TABLE objects (
    resource  TEXT NOT NULL,     -- plural.group
    namespace TEXT NOT NULL,     -- '' for kinds that have none
    name      TEXT NOT NULL,
    version   INTEGER NOT NULL,  -- resourceVersion of the newest change
    body      BLOB NOT NULL,     -- JSON
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;

CREATE TABLE changes (
    version   INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,  -- Unix seconds
    resource  TEXT NOT NULL,
    namespace TEXT NOT NULL,
    body      BLOB NOT NULL,     -- after the change; the last there was of one that is gone
    before    BLOB,              -- NULL: the object was made
    gone      INTEGER NOT NULL
);

CREATE TABLE position (
    version INTEGER NOT NULL,    -- the newest resourceVersion
    oldest  INTEGER NOT NULL     -- changes after this one are known
);
INSERT INTO position VALUES (1, 1);
""",
    """
CREATE TABLE owned (             -- who names whom as an owner
    owner     TEXT NOT NULL,     -- uid
    resource  TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    PRIMARY KEY (owner, resource, namespace, name)
) WITHOUT ROWID;
INSERT OR IGNORE INTO owned
    SELECT reference.value ->> 'uid', resource, namespace, name
    FROM objects, json_each(CAST(body AS TEXT), '$.metadata.ownerReferences') AS reference;
""",
)
VERSION = len(_STEPS)
"""Each step makes of a schema the next one."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open or make the database; writes are on the disk when they are acknowledged.

    Raises :class:`StoreNewer` or :class:`StoreDamaged`; the file is untouched then.
    """
    try:
        if not path.exists():
            path.touch(mode=0o600)
        connection = connect(path)
        version = _version(connection, path)
        if version == 0:
            connection.execute("PRAGMA journal_mode = WAL")
        if version < VERSION:
            steps = "\n".join(_STEPS[version:])
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{steps}\nPRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {VERSION};\nCOMMIT;"
            )
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(f"{path} cannot be read as a database ({error}); restore a copy") from error
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Return one more connection to a database that is open already."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (tables or version):
        raise StoreDamaged(f"{path} is no database of applications. Nothing was changed.")
    if version > VERSION:
        raise StoreNewer(
            f"{path} has schema version {version}; this program knows versions up to {VERSION}. "
            "It was written by a newer overlayd: upgrade this one, or restore an older copy. Nothing was "
            "changed."
        )
    return int(version)
