"""Join tokens: one line of text that names the controller, pins its CA and carries the secret."""

import base64

import msgspec

_PREFIX = "ovl1_"


class JoinToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``url`` is ``wss://host:port``; ``pin`` the SHA-256 of the CA certificate (DER) in hex; ``secret``
    256 bits in hex.
    """

    url: str
    pin: str
    secret: str


class BadToken(ValueError):
    """The text is no join token; nothing was sent anywhere."""


def encode_token(token: JoinToken) -> str:
    """Return the one line that ``overlayctl join`` takes."""
    return _PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def decode_token(text: str) -> JoinToken:
    """Return the token in ``text``. Raises :class:`BadToken`."""
    text = text.strip()
    if not text.startswith(_PREFIX):
        raise BadToken(f"a join token starts with {_PREFIX!r}; this text starts with {text[:5]!r}")
    body = text[len(_PREFIX) :]
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=JoinToken)
    except (ValueError, msgspec.DecodeError) as error:
        raise BadToken(f"the join token is damaged ({error}); copy the whole line") from error
