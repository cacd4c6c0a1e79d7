"""The agent's directory: membership (keys, certificate, record) and the last good mesh, safe against crashes.

* ``tls.key``, ``certificate.pem``, ``ca.pem``: the agent's own TLS key (0600), its chain, what it trusts.
* ``record.json``: membership. It is written last when joining: it is there, or the node has not joined.
* ``mesh.json``, ``mesh.previous.json``: what the agent restarts with if there is no controller.

I/O: files of one directory, by `overlayd.daemon.files`.
"""

import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from overlayd.agent.mesh import Saved
from overlayd.daemon.errors import StartError
from overlayd.daemon.files import previous_of, read_checked, write_atomic, write_checked
from overlayd.daemon.log import fields
from overlayd.model.node import SignedRecord

LOG = logging.getLogger(__name__)
SCHEMA = 1
_T = TypeVar("_T")


class StateError(StartError):
    """A file that cannot be done without is unreadable; it was left as it is."""


class Membership(msgspec.Struct, frozen=True):
    """What makes this host a node.

    ``url`` of its controller, the network's ``signer`` (Ed25519, hex) and the node's own record.
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
        self.save_membership(membership)

    def renew(self, certificate: str, membership: Membership) -> None:
        """Store a renewed certificate for the same key, and the renewed record."""
        write_atomic(self.certificate_file, certificate.encode())
        self.save_membership(membership)

    def save_membership(self, membership: Membership) -> None:
        """Store the node's record as it was signed last. Raises :class:`OSError`."""
        write_checked(self._record, SCHEMA, msgspec.json.encode(membership))

    def forget(self) -> None:
        """Be no member any more; the record goes first."""
        for file in (self._record, self._mesh):
            for generation in (file, previous_of(file)):
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


def _decode(body: bytes, kind: type[_T], file: Path) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StateError(f"{file} does not hold what it should: {error}") from error
