"""Opening, migrating and transacting: everything about the database that no subject owns. I/O.

Migrations are ``migrations/NNNN_name.sql``, applied in order, each in one transaction with the bump of
``user_version``.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

APPLICATION_ID = 0x6F766C64  # "ovld"
BUSY_TIMEOUT_S = 10.0
_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


class StoreError(Exception):
    """The database cannot be used as it is; it was left untouched."""


class StoreMissing(StoreError):
    """There is no database at this place."""


class StoreNewer(StoreError):
    """A newer version wrote the database."""


class StoreDamaged(StoreError):
    """The file is no database of ours, or cannot be read."""


@cache
def migrations() -> list[tuple[int, str]]:
    """Return (version, SQL) of each migration in order."""
    folder = resources.files("controller.store") / "migrations"
    found = [(int(f.name[:4]), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql")]
    return sorted(found)


def create(path: Path) -> sqlite3.Connection:
    """Make an empty database with the newest schema, readable by its owner only."""
    path.touch(mode=0o600, exist_ok=False)
    connection = _connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _migrate(connection, 0)
    return connection


def open_existing(path: Path) -> sqlite3.Connection:
    """Open a database and bring its schema up to date.

    Raises :class:`StoreMissing`, :class:`StoreNewer` or :class:`StoreDamaged`; the file is untouched then.
    """
    if not path.is_file():
        raise StoreMissing(f"{path} does not exist")
    newest = migrations()[-1][0]
    try:
        version = _version(path)
        if version > newest:
            raise StoreNewer(
                f"{path} has schema version {version}; this program knows versions up to {newest}. "
                "It was written by a newer overlayd: upgrade this one, or restore an older copy. "
                "Nothing was changed."
            )
        connection = _connect(path)
        _migrate(connection, version)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise StoreError(f"{path} is locked by another process: {error}") from error
        if _is_of_the_disk(error):
            raise StoreError(
                f"{path} cannot be used ({error}): its disk is full, read-only or failing. Nothing changed."
            ) from error
        raise StoreDamaged(
            f"{path} cannot be read as a database ({error}); it is truncated or damaged. "
            "Restore a copy of the state directory. Nothing was changed."
        ) from error
    return connection


def _is_of_the_disk(error: sqlite3.DatabaseError) -> bool:
    """Whether ``error`` says nothing of the file itself: whoever restored a copy would lose what is there."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in _OF_THE_DISK and code != sqlite3.SQLITE_IOERR_SHORT_READ


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Read the whole database once. Raises :class:`StoreDamaged`."""
    try:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        raise StoreDamaged(
            f"{path} is damaged ({answer}); restore a copy of the state directory. Nothing was changed."
        )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Run the block as one write transaction: all of it, or nothing if it raises.

    It takes the write lock at once, so what the block reads cannot change before it writes. Blocks do
    not nest.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another process has changed the database."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def _version(path: Path) -> int:
    """Return the schema version without any write, not even of a journal's checkpoint."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    finally:
        connection.close()
    if application != APPLICATION_ID:
        raise StoreDamaged(f"{path} is no database of an overlayd controller. Nothing was changed.")
    return int(version)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for number, sql in migrations():
        if number <= version:
            continue
        # executescript() commits what is open before it begins: the transaction has to be part of the script.
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
