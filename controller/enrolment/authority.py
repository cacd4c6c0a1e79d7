"""The network's certificate authority: an offline root, an online intermediate, and the leaves it
issues. Pure.

Keys are Ed25519 and made from entropy that is handed in, so a certificate is a function of its inputs. A
node's leaf says who it is by a URI (``overlayd://NETWORK/node/ID``) and may only be a client; the
controller's may only be a server.
"""

import datetime
import hashlib
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.enrolment.errors import BadRequest, NotAMember
from overlayd.model.ids import NodeId

Entropy: TypeAlias = Callable[[int], bytes]
"""Returns that many unpredictable bytes."""

NodeKey: TypeAlias = EllipticCurvePublicKey | Ed25519PublicKey

DAY_S = 24 * 3600
NODE_LIFETIME_S = 7 * DAY_S
SERVER_LIFETIME_S = 30 * DAY_S
INTERMEDIATE_LIFETIME_S = 5 * 365 * DAY_S
ROOT_LIFETIME_S = 20 * 365 * DAY_S
_BACKDATE_S = 3600
"""Leaves begin this long before they are made: clocks of hosts differ."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What issues leaves: the intermediate with its key, and the root that vouches for it."""

    network: str
    root: x509.Certificate
    intermediate: x509.Certificate
    key: Ed25519PrivateKey

    @property
    def pin(self) -> str:
        """SHA-256 of the root certificate (DER) in hex, as join tokens carry it."""
        return pin_of(self.root)

    @property
    def root_pem(self) -> str:
        """The root certificate as PEM."""
        return pem(self.root)

    @property
    def trust_pem(self) -> str:
        """What a peer trusts: intermediate and root."""
        return pem(self.intermediate) + pem(self.root)

    def issue_node(self, key: NodeKey, node: NodeId, name: str, unix_s: float, entropy: Entropy) -> str:
        """Return the chain (leaf, intermediate; PEM) that makes ``key`` the node ``node`` for seven days."""
        san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(node_uri(self.network, node))])
        return self._issue(key, name, san, ExtendedKeyUsageOID.CLIENT_AUTH, NODE_LIFETIME_S, unix_s, entropy)

    def issue_server(self, key: NodeKey, hosts: Iterable[str], unix_s: float, entropy: Entropy) -> str:
        """Return the chain (leaf, intermediate; PEM) of the controller, valid for ``hosts`` (names or
        addresses).
        """
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(f"overlayd://{self.network}/controller")
        ]
        names += [_general_name(host) for host in hosts]
        san = x509.SubjectAlternativeName(names)
        return self._issue(
            key, "controller", san, ExtendedKeyUsageOID.SERVER_AUTH, SERVER_LIFETIME_S, unix_s, entropy
        )

    def _issue(
        self,
        key: NodeKey,
        name: str,
        san: x509.SubjectAlternativeName,
        usage: x509.ObjectIdentifier,
        lifetime_s: int,
        unix_s: float,
        entropy: Entropy,
    ) -> str:
        subject = _subject(self.network, name)
        builder = _builder(subject, self.intermediate.subject, key, unix_s, lifetime_s, entropy)
        leaf = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(san, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, None)
        )
        return pem(leaf) + pem(self.intermediate)


@dataclass(frozen=True, slots=True)
class NewAuthority:
    """A fresh authority, and the root's key, which belongs offline."""

    authority: Authority
    root_key: Ed25519PrivateKey


def create_authority(network: str, unix_s: float, entropy: Entropy) -> NewAuthority:
    """Make root and intermediate."""
    root_key = Ed25519PrivateKey.from_private_bytes(entropy(32))
    name = _subject(network, f"{network} root")
    root = _certify_authority(
        name, root_key.public_key(), name, root_key, 1, ROOT_LIFETIME_S, unix_s, entropy
    )
    key = Ed25519PrivateKey.from_private_bytes(entropy(32))
    subject = _subject(network, f"{network} intermediate")
    intermediate = _certify_authority(
        subject, key.public_key(), name, root_key, 0, INTERMEDIATE_LIFETIME_S, unix_s, entropy
    )
    return NewAuthority(Authority(network, root, intermediate, key), root_key)


def load_authority(network: str, root_pem: bytes, intermediate_pem: bytes, key_pem: bytes) -> Authority:
    """Return the authority kept in these files. Raises :class:`ValueError` for what is none."""
    key = serialization.load_pem_private_key(key_pem, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the intermediate's key is no Ed25519 key")
    intermediate = x509.load_pem_x509_certificate(intermediate_pem)
    if intermediate.public_key() != key.public_key():
        raise ValueError("the intermediate's certificate and key do not belong together")
    return Authority(network, x509.load_pem_x509_certificate(root_pem), intermediate, key)


def check_csr(csr_pem: str) -> NodeKey:
    """Return the public key that ``csr_pem`` proves to hold; all else it asks for is ignored.

    Raises :class:`BadRequest` for a malformed request, a wrong signature, or a key that is neither P-256
    nor Ed25519.
    """
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        key = csr.public_key()
        valid = csr.is_signature_valid
    except (ValueError, TypeError, InvalidSignature) as error:
        raise BadRequest(f"the certificate request cannot be read: {error}") from error
    if not valid:
        raise BadRequest("the certificate request is not signed by its own key")
    if isinstance(key, Ed25519PublicKey):
        return key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    raise BadRequest("the certificate request's key is neither ECDSA P-256 nor Ed25519")


def node_of(leaf_der: bytes, network: str) -> NodeId:
    """Return who a verified leaf belongs to. Raises :class:`NotAMember` for any that names no node of
    ``network``.
    """
    try:
        leaf = x509.load_der_x509_certificate(leaf_der)
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise NotAMember("the client certificate names no node") from error
    uris = san.get_values_for_type(x509.UniformResourceIdentifier)
    prefix = f"overlayd://{network}/node/"
    if len(uris) != 1 or not uris[0].startswith(prefix) or not uris[0].removeprefix(prefix).isdecimal():
        raise NotAMember(f"the client certificate names no node of the network {network!r}")
    return NodeId(int(uris[0].removeprefix(prefix)))


def node_uri(network: str, node: NodeId) -> str:
    """Return how a node is named in its certificate."""
    return f"overlayd://{network}/node/{node}"


def pin_of(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate (DER) in hex."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: Ed25519PrivateKey) -> bytes:
    """Return a private key as unencrypted PKCS#8 PEM; it goes into a file that only its owner reads."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certify_authority(
    subject: x509.Name,
    key: Ed25519PublicKey,
    issuer: x509.Name,
    issuer_key: Ed25519PrivateKey,
    path_length: int,
    lifetime_s: int,
    unix_s: float,
    entropy: Entropy,
) -> x509.Certificate:
    return (
        _builder(subject, issuer, key, unix_s, lifetime_s, entropy)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, None)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: NodeKey, unix_s: float, lifetime_s: int, entropy: Entropy
) -> x509.CertificateBuilder:
    begin = datetime.datetime.fromtimestamp(int(unix_s) - _BACKDATE_S, datetime.UTC)
    end = datetime.datetime.fromtimestamp(int(unix_s) + lifetime_s, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(
            (int.from_bytes(entropy(20), "big") >> 1) | 1
        )  # RFC 5280 § 4.1.2.2: positive, ≤ 20 octets
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject(network: str, name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, network),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
