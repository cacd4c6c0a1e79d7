"""Certificates of what the controller serves, and TLS of the agent channel: 1.3 only, client certificates
optional but verified, no session tickets. I/O: key files.

A join comes without a certificate; who has one is known by it from the handshake on. Session tickets are
off: a resumed session would carry an identity that may have been revoked since.
"""

import os
import ssl
from collections.abc import Collection
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.config import advertised_host, split_address
from controller.enrolment.authority import SERVER_LIFETIME_S, key_pem
from controller.state import State

RENEW_AFTER_S = SERVER_LIFETIME_S // 2


class Leaf:
    """A certificate of the network's own authority in ``context``; :meth:`renew` replaces it while running.

    It is for the advertised hosts, the one of ``listen`` (HOST:PORT) and those of ``also``; its files are
    called ``name``.
    """

    def __init__(
        self,
        state: State,
        context: ssl.SSLContext,
        name: str,
        listen: str,
        unix_s: float,
        also: Collection[str] = (),
    ) -> None:
        self._state = state
        self.context = context
        self._name = name
        self._hosts = {advertised_host(url) for url in state.config.advertise} | set(also)
        listening = split_address(listen, "listen")[0]
        if listening not in ("", "0.0.0.0", "::"):
            self._hosts.add(listening)
        self.renew(unix_s)

    def renew(self, unix_s: float) -> None:
        """Issue a new one; connections from now on see it."""
        authority = self._state.issuer.authority
        key = Ed25519PrivateKey.generate()
        chain = authority.issue_server(key.public_key(), sorted(self._hosts), unix_s, os.urandom)
        folder = self._state.directory / "tls"
        folder.mkdir(mode=0o700, exist_ok=True)
        key_file, chain_file = folder / f"{self._name}.key", folder / f"{self._name}.pem"
        replace_file(key_file, key_pem(key))
        # The root goes along, so that a joining agent can compare it with its token's pin.
        replace_file(chain_file, (chain + authority.root_pem).encode())
        self.context.load_cert_chain(chain_file, key_file)
        self._issued_at = unix_s

    def due(self, unix_s: float) -> bool:
        """Tell whether it is past its half-life, or from a future that the clock has come back from."""
        return not self._issued_at <= unix_s < self._issued_at + RENEW_AFTER_S


class ServerTls(Leaf):
    """The agent channel's."""

    def __init__(self, state: State, unix_s: float) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=state.issuer.authority.trust_pem)
        super().__init__(state, context, "server", state.config.listen, unix_s)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, all of it or nothing."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
