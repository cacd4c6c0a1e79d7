"""The agent's directory: membership (keys, certificate, record) and the last good mesh, safe against crashes.

* ``tls.key``, ``certificate.pem``, ``ca.pem``: the agent's own TLS key (0600), its chain, what it trusts.
* ``record.json``: membership. It is written last when joining: it is there, or the node has not joined.
* ``mesh.json``, ``mesh.previous.json``: what the agent restarts with if there is no controller.

What a full or failing disk did not take is told of (:attr:`AgentState.trouble`) and written once it does.

I/O: files of one directory, by `overlayd.daemon.files`.
"""

import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from overlayd.agent.mesh import Saved
from overlayd.daemon.errors import StartError
from overlayd.daemon.files import previous_of, problem_of, read_checked, write_atomic, write_checked
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
    """The files of one agent. Only its process writes them.

    ``trouble``: why the directory cannot be written, as last seen.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trouble: str | None = None
        self._owed: dict[Path, bytes] = {}
        self.key_file = directory / "tls.key"
        self.certificate_file = directory / "certificate.pem"
        self.ca_file = directory / "ca.pem"
        self.record_file = directory / "record.json"
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
        body = read_checked(self.record_file, SCHEMA)
        if body is None:
            if self.record_file.exists():
                raise StateError(
                    f"{self.record_file} is damaged; restore it, or empty {self.directory} and join again"
                )
            return None
        return _decode(body, Membership, self.record_file)

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
        write_checked(self.record_file, SCHEMA, msgspec.json.encode(membership))
        self._owed.pop(self.record_file, None)

    def keep_membership(self, membership: Membership) -> None:
        """As :meth:`save_membership`, of a node that has joined: later, if it cannot be now."""
        self._keep(self.record_file, msgspec.json.encode(membership))

    def forget(self) -> None:
        """Be no member any more; the record goes first."""
        self._owed.clear()
        for file in (self.record_file, self._mesh):
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
        """Persist, later if it cannot be now; the one before is kept."""
        self._keep(self._mesh, msgspec.json.encode(saved))

    def probe(self) -> str | None:
        """Return why nothing can be written, for :meth:`settle`. May block for as long as the disk does."""
        return problem_of(self.directory)

    def settle(self, trouble: str | None) -> None:
        """Take note of whether the directory can be written; if so, write what it is owed."""
        if trouble is not None and self.trouble is None:
            LOG.error("state cannot be written", extra=fields(directory=self.directory, problem=trouble))
        elif trouble is None and self.trouble is not None:
            LOG.info("state can be written again", extra=fields(directory=self.directory))
        self.trouble = trouble
        if trouble is None:
            for file, body in list(self._owed.items()):
                self._keep(file, body)

    def _keep(self, file: Path, body: bytes) -> None:
        self._owed.pop(file, None)
        try:
            write_checked(file, SCHEMA, body)
        except OSError as error:
            self._owed[file] = body
            LOG.error("state not saved", extra=fields(file=file, problem=error.strerror))
            self.trouble = error.strerror


def _decode(body: bytes, kind: type[_T], file: Path) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StateError(f"{file} does not hold what it should: {error}") from error
