"""Reads an init with its receiver's private key. Pure.

Noise as in revision 34 (sections 5, 7.5 and 9); prologue and mac1 as the page has them.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

PATTERN = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"


@dataclass(frozen=True, slots=True)
class Hello:
    """The initiator's static public key and its payload (20 bytes)."""

    initiator: bytes
    payload: bytes


def read_init(message: bytes, private: bytes, *, network: int, suite: int, scope: int) -> Hello:
    """Raises InvalidTag where the init was not made for this key, network, suite and scope."""
    prologue = b"overlayd/1" + network.to_bytes(4, "big") + bytes([suite, scope])
    ephemeral, static, payload = message[12:44], message[44:92], message[92:128]
    chaining = _hash(PATTERN)
    digest = _hash(_hash(chaining + prologue) + public_key(private))
    # In a pattern with a pre-shared key, e is mixed into the chaining key too.
    digest = _hash(digest + ephemeral)
    chaining, _ = _hkdf(chaining, ephemeral)
    chaining, key = _hkdf(chaining, _exchange(private, ephemeral))
    initiator = _decrypt(key, digest, static)
    digest = _hash(digest + static)
    chaining, key = _hkdf(chaining, _exchange(private, initiator))
    return Hello(initiator, _decrypt(key, digest, payload))


def mac1(message: bytes, receiver: bytes) -> bytes:
    """What the last 32 bytes of an init or a response to the owner of a public key begin with."""
    key = _hash(b"overlayd/1 mac1" + receiver)
    return hashlib.blake2s(message[:-32], key=key, digest_size=16).digest()


def public_key(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _exchange(private: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def _hash(data: bytes) -> bytes:
    return hashlib.blake2s(data).digest()


def _hkdf(chaining: bytes, material: bytes) -> tuple[bytes, bytes]:
    secret = hmac.digest(chaining, material, "blake2s")
    first = hmac.digest(secret, b"\x01", "blake2s")
    return first, hmac.digest(secret, first + b"\x02", "blake2s")


def _decrypt(key: bytes, associated: bytes, sealed: bytes) -> bytes:
    return ChaCha20Poly1305(key).decrypt(bytes(12), sealed, associated)
