"""TLS of the agent channel: 1.3 only, client certificates optional but verified, no session tickets.
I/O: key files.

A join comes without a certificate; who has one is known by it from the handshake on. Session tickets are
off: a resumed session would carry an identity that may have been revoked since.
"""

import os
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.config import advertised_host, split_address
from controller.enrolment.authority import SERVER_LIFETIME_S, key_pem
from controller.state import State

RENEW_AFTER_S = SERVER_LIFETIME_S // 2


class ServerTls:
    """The server's context with a leaf that :meth:`renew` replaces while running."""

    def __init__(self, state: State, unix_s: float) -> None:
        self._state = state
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.num_tickets = 0
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.load_verify_locations(cadata=state.issuer.authority.trust_pem)
        self.renew(unix_s)

    def renew(self, unix_s: float) -> None:
        """Issue a new leaf for the advertised hosts; connections from now on see it."""
        config = self._state.config
        hosts = {advertised_host(url) for url in config.advertise}
        listening = split_address(config.listen, "listen")[0]
        if listening not in ("", "0.0.0.0", "::"):
            hosts.add(listening)
        key = Ed25519PrivateKey.generate()
        chain = self._state.issuer.authority.issue_server(key.public_key(), sorted(hosts), unix_s, os.urandom)
        folder = self._state.directory / "tls"
        folder.mkdir(mode=0o700, exist_ok=True)
        replace_file(folder / "server.key", key_pem(key))
        # The root goes along, so that a joining agent can compare it with its token's pin.
        replace_file(folder / "server.pem", (chain + self._state.issuer.authority.root_pem).encode())
        self.context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self._issued_at = unix_s

    def due(self, unix_s: float) -> bool:
        """Tell whether the leaf is past its half-life, or from a future that the clock has come back from."""
        return not self._issued_at <= unix_s < self._issued_at + RENEW_AFTER_S


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, all of it or nothing."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
