"""The agent's directory: membership (keys, certificate, record) and the last good mesh, safe against crashes.

* ``tls.key``, ``certificate.pem``, ``ca.pem``: the agent's own TLS key (0600), its chain, what it trusts.
* ``record.json``: membership. It is written last when joining: it is there, or the node has not joined.
* ``mesh.json``, ``mesh.previous.json``: what the agent restarts with if there is no controller.

A checked file is one line of JSON (schema, SHA-256 of what follows) and the body. I/O: files of one directory.
"""

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from overlayd.agent.mesh import Saved
from overlayd.daemon.errors import StartError
from overlayd.daemon.log import fields
from overlayd.model.node import SignedRecord

LOG = logging.getLogger(__name__)
SCHEMA = 1
_T = TypeVar("_T")


class StateError(StartError):
    """A file that cannot be done without is unreadable; it was left as it is."""


class Membership(msgspec.Struct, frozen=True):
    """What makes this host a node: ``url`` of its controller, the network's ``signer`` (Ed25519, hex), its
    own record.
    """

    url: str
    signer: str
    record: SignedRecord


class Credentials(msgspec.Struct, frozen=True):
    """PEM: the agent's private key, its certificate chain, the network's CA."""

    key: str
    certificate: str
    ca: str


class AgentState:
    """The files of one agent. Only its process writes them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key_file = directory / "tls.key"
        self.certificate_file = directory / "certificate.pem"
        self.ca_file = directory / "ca.pem"
        self._record = directory / "record.json"
        self._mesh = directory / "mesh.json"

    def prepare(self) -> None:
        """Make the directory. Raises :class:`StateError`."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{self.directory} cannot be made: {error.strerror}") from error

    def membership(self) -> Membership | None:
        """Return the membership, None if this node has not joined.

        Raises :class:`StateError` if it is unreadable.
        """
        body = read_checked(self._record, SCHEMA)
        if body is None:
            if self._record.exists():
                raise StateError(
                    f"{self._record} is damaged; restore it, or empty {self.directory} and join again"
                )
            return None
        return _decode(body, Membership, self._record)

    def join(self, membership: Membership, credentials: Credentials) -> None:
        """Become a member; all or nothing."""
        write_atomic(self.key_file, credentials.key.encode())
        write_atomic(self.ca_file, credentials.ca.encode())
        write_atomic(self.certificate_file, credentials.certificate.encode())
        write_checked(self._record, SCHEMA, msgspec.json.encode(membership))

    def renew(self, certificate: str, membership: Membership) -> None:
        """Store a renewed certificate for the same key, and the renewed record."""
        write_atomic(self.certificate_file, certificate.encode())
        write_checked(self._record, SCHEMA, msgspec.json.encode(membership))

    def forget(self) -> None:
        """Be no member any more; the record goes first."""
        for file in (self._record, self._mesh):
            for generation in (file, _previous(file)):
                generation.unlink(missing_ok=True)
        for file in (self.certificate_file, self.ca_file, self.key_file):
            file.unlink(missing_ok=True)

    def load_mesh(self) -> Saved | None:
        """Return the last good mesh; None if there is none that can be read (which is logged)."""
        body = read_checked(self._mesh, SCHEMA)
        if body is None:
            return None
        try:
            return _decode(body, Saved, self._mesh)
        except StateError as error:
            LOG.error("stored mesh ignored", extra=fields(problem=error))
            return None

    def save_mesh(self, saved: Saved) -> None:
        """Persist; the one before is kept.

        A disk that is full or read-only is logged and costs nothing but this.
        """
        try:
            write_checked(self._mesh, SCHEMA, msgspec.json.encode(saved))
        except OSError as error:
            LOG.error("mesh not saved", extra=fields(file=self._mesh, problem=error.strerror))


class _Header(msgspec.Struct):
    schema: int
    sha256: str


def write_checked(file: Path, schema: int, body: bytes) -> None:
    """Write a checked file and keep the one before as ``*.previous.*``.

    At every moment one of the two is whole.
    """
    header = msgspec.json.encode(_Header(schema, hashlib.sha256(body).hexdigest()))
    fresh = _write_aside(file, header + b"\n" + body)
    with contextlib.suppress(FileNotFoundError):
        os.replace(file, _previous(file))
    os.replace(fresh, file)
    _sync_directory(file.parent)


def read_checked(file: Path, schema: int) -> bytes | None:
    """Return the body of a checked file, or of the one before it; None if neither is whole.

    A file from a newer version is put aside as ``*.newer`` so that it can be gone back to, and is not used.
    """
    for candidate in (file, _previous(file)):
        try:
            head, _, body = candidate.read_bytes().partition(b"\n")
        except FileNotFoundError:
            continue
        except OSError as error:
            LOG.error("state file cannot be read", extra=fields(file=candidate, problem=error.strerror))
            continue
        try:
            header = msgspec.json.decode(head, type=_Header)
        except msgspec.DecodeError:
            LOG.error("state file is damaged", extra=fields(file=candidate))
            continue
        if header.schema > schema:
            aside = candidate.with_name(candidate.name + ".newer")
            LOG.error("state file is of a newer version", extra=fields(file=candidate, kept_as=aside))
            with contextlib.suppress(OSError):
                os.replace(candidate, aside)
            continue
        if header.sha256 == hashlib.sha256(body).hexdigest():
            return body
        LOG.error("state file is damaged", extra=fields(file=candidate))
    return None


def write_atomic(file: Path, data: bytes) -> None:
    """Replace ``file`` (0600): after a crash it holds the old bytes or the new."""
    os.replace(_write_aside(file, data), file)
    _sync_directory(file.parent)


def _write_aside(file: Path, data: bytes) -> Path:
    aside = file.with_name(f".{file.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return aside


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _previous(file: Path) -> Path:
    return file.with_name(f"{file.stem}.previous{file.suffix}")


def _decode(body: bytes, kind: type[_T], file: Path) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StateError(f"{file} does not hold what it should: {error}") from error
