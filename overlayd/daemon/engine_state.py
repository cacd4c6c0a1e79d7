"""The engine's directory: identity, boot counter, last good snapshot, key log. One process at a time.

Not here: what is in a snapshot. Called by `overlayd.daemon.engine`. I/O: files of one directory.
"""

import fcntl
import logging
import os
import secrets
import threading
from pathlib import Path

import msgspec

from overlayd.daemon.errors import StartError
from overlayd.daemon.files import problem_of, read_checked, write_atomic, write_checked
from overlayd.daemon.log import fields
from overlayd.protocol import engine

LOG = logging.getLogger(__name__)
_KEY_BYTES = 32


class EngineStateError(StartError):
    """A file that cannot be done without is unreadable or cannot be made; it was left as it is."""


class EngineState:
    """The files of one engine. Raises :class:`EngineStateError` if the directory is unusable or taken."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._identity = directory / "identity.key"
        self._boot = directory / "boot"
        self._snapshot = directory / "snapshot.json"
        self._keys = directory / "keys.jsonl"
        self._owed: bytes | None = None
        self._saving = threading.Lock()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _open_lock(directory / "lock")
        except OSError as error:
            raise EngineStateError(f"{directory} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise EngineStateError(f"{directory} is in use: another engine is running") from error

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._lock)

    def identity(self) -> bytes:
        """Return the node's X25519 private key, made at the first call. Raises :class:`EngineStateError`."""
        try:
            key = bytes.fromhex(self._identity.read_text())
        except FileNotFoundError:
            return self._new_identity()
        except (OSError, ValueError) as error:
            raise EngineStateError(f"{self._identity} is unreadable: {error}; restore it") from error
        if len(key) != _KEY_BYTES:
            raise EngineStateError(
                f"{self._identity} is damaged; restore it, or remove it to be a new node, and join again"
            )
        return key

    def next_boot(self) -> int:
        """Count this start. A counter that is lost costs peers one cookie round, so it stops nothing."""
        boot = 1
        try:
            boot = int(self._boot.read_text()) + 1
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            LOG.error("boot counter begins anew", extra=fields(file=self._boot, problem=error))
        try:
            write_atomic(self._boot, b"%d\n" % boot)
        except OSError as error:
            LOG.error("boot counter not saved", extra=fields(file=self._boot, problem=error.strerror))
        return boot

    def load_snapshot(self) -> engine.Snapshot | None:
        """Return the last good snapshot or the one before it; None, and a line in the log, without one."""
        body = read_checked(self._snapshot, engine.SCHEMA)
        if body is None:
            return None
        try:
            return msgspec.json.decode(body, type=engine.Snapshot)
        except msgspec.DecodeError as error:
            LOG.error("stored snapshot ignored", extra=fields(file=self._snapshot, problem=error))
            return None

    def save_snapshot(self, snapshot: bytes) -> None:
        """Keep a snapshot; the one before stays. What a full or failing disk does not take is owed to it."""
        with self._saving:
            self._save(snapshot)

    def settle(self) -> None:
        """Keep what is owed, if the directory takes it by now. From any thread, as :meth:`save_snapshot`."""
        with self._saving:
            if self._owed is not None and problem_of(self._directory) is None:
                LOG.info("state can be written again", extra=fields(directory=self._directory))
                self._save(self._owed)

    def _save(self, snapshot: bytes) -> None:
        self._owed = None
        try:
            write_checked(self._snapshot, engine.SCHEMA, snapshot)
        except OSError as error:
            self._owed = snapshot
            LOG.error("snapshot not saved", extra=fields(file=self._snapshot, problem=error.strerror))

    def log_key(self, event: bytes) -> None:
        """Append the JSON of a key_log event."""
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            with os.fdopen(os.open(self._keys, flags, 0o600), "wb") as stream:
                stream.write(event + b"\n")
        except OSError as error:
            LOG.error("session key not logged", extra=fields(file=self._keys, problem=error.strerror))

    def _new_identity(self) -> bytes:
        key = secrets.token_bytes(_KEY_BYTES)
        try:
            write_atomic(self._identity, key.hex().encode() + b"\n")
        except OSError as error:
            raise EngineStateError(f"{self._identity} cannot be written: {error.strerror}") from error
        LOG.info("new identity made", extra=fields(file=self._identity))
        return key


def _open_lock(file: Path) -> int:
    """Open what is locked, only to read if it is there: an engine comes back on a read-only disk too."""
    try:
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
