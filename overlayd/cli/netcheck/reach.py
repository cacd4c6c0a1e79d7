"""The controller, as a host that would join meets it: its name, TCP, TLS, who it is, what time it has.

I/O: one connection, over which no secret is sent.

Called by `overlayd.cli.ctl_netcheck`; what the facts mean is said in `verdicts`.
"""

import hashlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

from overlayd.daemon.tls import Validity, shown_chain, validity_of_der
from overlayd.protocol.stun import Place
from overlayd.protocol.token import BadToken, decode_token

DEFAULT_PORT = 7443
_ASKED = "/v1/ca"
_LONGEST = 65536


class NoController(ValueError):
    """What was given names no controller; the message says what would."""


@dataclass(frozen=True, slots=True)
class Named:
    """Where a controller is; ``pin``: SHA-256 of its CA (DER, hex), if a token named it."""

    host: str
    port: int
    pin: str | None = None

    @property
    def url(self) -> str:
        """``wss://host:port``."""
        return f"wss://[{self.host}]:{self.port}" if ":" in self.host else f"wss://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Met:
    """How far a connection went: ``failed`` is the step that did not work, with what was said.

    ``offset_s`` is how much this host's clock is ahead of the controller's, give or take ``doubt_s``;
    ``validity`` of the certificate that was shown.
    """

    failed: Literal["", "name", "tcp", "tls", "trust", "http"] = ""
    said: str = ""
    addresses: tuple[str, ...] = ()
    connect_ms: float | None = None
    offset_s: float | None = None
    doubt_s: float = 0.0
    validity: Validity | None = None


def named(text: str) -> Named:
    """Return the controller of a join token or of ``wss://HOST:PORT``. Raises :class:`NoController`."""
    text = text.strip()
    if text.startswith("wss://"):
        url, pin = text, None
    else:
        try:
            token = decode_token(text)
        except BadToken as error:
            raise NoController(f"neither wss://HOST:PORT nor a join token: {error}") from error
        url, pin = token.url, token.pin
    try:
        place = urlsplit(url)
        host, port = place.hostname, place.port or DEFAULT_PORT
    except ValueError:
        host = port = None
    if not host or port is None:
        raise NoController(f"{url!r} is not of the form wss://HOST:PORT")
    return Named(host, port, pin)


def meet(
    controller: Named, timeout_s: float, wall: Callable[[], float], monotonic: Callable[[], float]
) -> Met:
    """Connect, look at what is shown, and ask what anybody may ask. ``timeout_s``: of each step;
    ``wall``: Unix seconds.
    """
    try:
        found = socket.getaddrinfo(controller.host, controller.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Met("name", getattr(error, "strerror", None) or str(error))
    addresses = tuple(dict.fromkeys(str(one[4][0]) for one in found))
    begun = monotonic()
    try:
        plain = socket.create_connection((controller.host, controller.port), timeout_s)
    except OSError as error:
        return Met("tcp", _said(error, timeout_s), addresses)
    connect_ms = (monotonic() - begun) * 1e3
    with plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the pin is held against it below, and the clock may be wrong
        try:
            channel = context.wrap_socket(plain, server_hostname=controller.host)
        except OSError as error:
            return Met("tls", _said(error, timeout_s), addresses, connect_ms)
        with channel:
            return _ask(channel, controller, addresses, connect_ms, timeout_s, wall, monotonic)


def reflectors(controller: Named, family: int) -> list[Place]:
    """Where its reflector would be, for sockets of ``family``; empty: no such address."""
    try:
        found = socket.getaddrinfo(controller.host, controller.port, family, socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    return [(str(one[4][0]), controller.port) for one in found[:1]]


def _ask(
    channel: ssl.SSLSocket,
    controller: Named,
    addresses: tuple[str, ...],
    connect_ms: float,
    timeout_s: float,
    wall: Callable[[], float],
    monotonic: Callable[[], float],
) -> Met:
    chain = shown_chain(channel)
    validity = validity_of_der(chain[0]) if chain else None
    digests = [hashlib.sha256(der).hexdigest() for der in chain]
    if controller.pin is not None and controller.pin not in digests:
        return Met(
            "trust", "the CA that the token names is not shown", addresses, connect_ms, validity=validity
        )
    begun = monotonic()
    try:
        host = f"[{controller.host}]" if ":" in controller.host else controller.host
        channel.sendall(f"GET {_ASKED} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head = _head(channel)
        here, took_s = wall(), monotonic() - begun
        there = parsedate_to_datetime(head["date"]).timestamp() if "date" in head else None
    except (OSError, ValueError) as error:
        return Met("http", _said(error, timeout_s), addresses, connect_ms, validity=validity)
    if there is None:  # an older controller
        return Met("", "", addresses, connect_ms, validity=validity)
    # It says the second that it is in, at some moment between question and answer.
    offset_s = here - took_s / 2 - (there + 0.5)
    return Met("", "", addresses, connect_ms, offset_s, 0.5 + took_s / 2, validity)


def _head(channel: ssl.SSLSocket) -> dict[str, str]:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _LONGEST:
        part = channel.recv(4096)
        if not part:
            break
        data += part
    first, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    if not first.startswith("HTTP/1.1 200"):
        raise ValueError(f"it answers {first!r}")
    return {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _said(error: BaseException, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
