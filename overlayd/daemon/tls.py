"""TLS towards the controller: 1.3 only, trust in this network's CA alone, a key that never leaves the host.

The controller is known by what its certificate says it is, not by a host name: it may move. I/O: one
probing connection.
"""

import asyncio
import datetime
import hashlib
import re
import ssl
from dataclasses import dataclass
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from overlayd.daemon.state import AgentState

_CONTROLLER_URI = re.compile(r"overlayd://[^/]+/controller")


class NotTheController(Exception):
    """Who answered cannot prove to be this network's controller; nothing was sent to it."""


@dataclass(frozen=True, slots=True)
class Validity:
    """When a certificate begins and ends, Unix seconds."""

    not_before: float
    not_after: float

    @property
    def half_life(self) -> float:
        """From here on it should be renewed."""
        return (self.not_before + self.not_after) / 2


def make_key() -> str:
    """Return a new private key, PEM."""
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )


def make_csr(key_pem: str, name: str) -> str:
    """Return a certificate request for the key, PEM. What it says beside the key is a courtesy."""
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the agent's TLS key is no Ed25519 key")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, None)
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def validity_of(certificate_pem: str) -> Validity:
    """Return when the leaf of a chain is valid. Raises :class:`ValueError` for what is none."""
    return _validity(x509.load_pem_x509_certificate(certificate_pem.encode()))


def validity_of_der(certificate: bytes) -> Validity:
    """Return when a certificate is valid. Raises :class:`ValueError` for what is none."""
    return _validity(x509.load_der_x509_certificate(certificate))


def member_context(state: AgentState) -> ssl.SSLContext:
    """Return the context of a member: our certificate, their CA.

    Raises :class:`OSError` (``ssl.SSLError`` is one).
    """
    context = _context()
    context.load_verify_locations(cafile=str(state.ca_file))
    context.load_cert_chain(str(state.certificate_file), str(state.key_file))
    return context


async def joining_context(host: str, port: int, pin: str, timeout_s: float) -> ssl.SSLContext:
    """Return a context that trusts only the CA with the SHA-256 ``pin`` (of the DER, in hex).

    The CA is taken from the chain that ``host`` shows on a first connection, over which nothing is sent;
    whether it issued the server's certificate is then checked by the handshake of the connection that this
    context is for. Raises :class:`NotTheController` if the pinned CA is not shown, :class:`OSError` if
    nobody answers.
    """
    context = _context()
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(timeout_s):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
        chain = shown_chain(writer.get_extra_info("ssl_object"))
        writer.transport.abort()
    ca = next((der for der in chain if hashlib.sha256(der).hexdigest() == pin), None)
    if ca is None:
        raise NotTheController(
            f"{host}:{port} does not show the CA that the join token names; is the token for it?"
        )
    pinned = _context()
    pinned.load_verify_locations(cadata=ca)
    return pinned


def check_controller(ssl_object: ssl.SSLObject) -> None:
    """Raise :class:`NotTheController` unless the verified certificate of the other side is a controller's."""
    certificate = cast("dict[str, Any]", ssl_object.getpeercert() or {})
    names: tuple[tuple[str, str], ...] = certificate.get("subjectAltName", ())
    if not any(kind == "URI" and _CONTROLLER_URI.fullmatch(value) for kind, value in names):
        raise NotTheController("the certificate that was shown is not a controller's")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    return context


def shown_chain(ssl_object: Any) -> list[bytes]:
    """Return the certificates as DER that the other side sent, the leaf first; nothing of them is verified.

    Public from Python 3.13 on; before, one level down.
    """
    if hasattr(ssl_object, "get_unverified_chain"):
        return list(ssl_object.get_unverified_chain())
    shown = ssl_object._sslobj.get_unverified_chain() or ()
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in shown]


def _validity(certificate: x509.Certificate) -> Validity:
    return Validity(_unix(certificate.not_valid_before_utc), _unix(certificate.not_valid_after_utc))


def _unix(moment: datetime.datetime) -> float:
    return moment.timestamp()
