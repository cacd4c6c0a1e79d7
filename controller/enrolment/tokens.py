"""One-time join tokens as the controller keeps them: hashed, bound to a name and a role, short-lived. Pure.

The secret has 256 bits of entropy, so a plain SHA-256 is enough to keep it. What the user carries is
`overlayd.protocol.token`.
"""

import hashlib
import re
from dataclasses import dataclass

from controller.enrolment.addresses import parse_prefixes
from controller.enrolment.errors import BadRequest, TokenExpired, TokenForAnother, TokenUnknown, TokenUsed

SECRET_BYTES = 32
DEFAULT_TTL_S = 15 * 60
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a token buys, once. ``digest`` is the SHA-256 of the secret in hex; times are Unix seconds."""

    digest: str
    name: str
    relay: bool
    prefixes: tuple[str, ...]
    price_per_gb: float
    created_at: int
    expires_at: int
    used_at: int | None = None

    def state(self, unix_s: float) -> str:
        """Return ``"used"``, ``"expired"`` or ``"open"``."""
        if self.used_at is not None:
            return "used"
        return "expired" if unix_s >= self.expires_at else "open"


def grant(
    secret: bytes,
    name: str,
    unix_s: float,
    *,
    relay: bool = False,
    prefixes: tuple[str, ...] = (),
    price_per_gb: float = 0.0,
    ttl_s: int = DEFAULT_TTL_S,
) -> TokenGrant:
    """Return what to keep of a new token. Raises :class:`BadRequest` for a name, prefix or lifetime that
    cannot be.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a token's secret has {SECRET_BYTES} bytes, not {len(secret)}")
    check_name(name)
    parse_prefixes(prefixes)
    if ttl_s <= 0:
        raise BadRequest(f"a token has to live for at least a second, not {ttl_s}")
    now = int(unix_s)
    return TokenGrant(digest_of(secret.hex()), name, relay, prefixes, price_per_gb, now, now + ttl_s)


def digest_of(secret: str) -> str:
    """Return the digest under which the token with this secret (hex) is kept. Raises
    :class:`TokenUnknown` for no hex.
    """
    try:
        raw = bytes.fromhex(secret)
    except ValueError as error:
        raise TokenUnknown("the token's secret is not hexadecimal") from error
    return hashlib.sha256(raw).hexdigest()


def check_token(found: TokenGrant | None, name: str, unix_s: float) -> TokenGrant:
    """Return the grant if ``name`` may join with it now; raises the reason why not."""
    if found is None:
        raise TokenUnknown("no such token; `overlayd-controller token create --name NAME` makes one")
    match found.state(unix_s):
        case "used":
            raise TokenUsed(f"this token was used already; a token joins one node ({found.name}) once")
        case "expired":
            late = int(unix_s) - found.expires_at
            raise TokenExpired(f"this token expired {late} s ago; make a new one for {found.name}")
        case _:
            pass
    if name != found.name:
        raise TokenForAnother(f"this token is for the node {found.name!r}, not {name!r}")
    return found


def check_name(name: str) -> None:
    """Raise :class:`BadRequest` unless ``name`` can name a node: a DNS subdomain of up to 63 characters."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be a name: 1 to 63 of a-z, 0-9, '.' and '-', "
            "beginning and ending with a letter or digit"
        )
