"""Connections whose client certificate, verified by TLS, reaches the application. I/O: sockets, by uvicorn.

ASGI servers do not hand it on by themselves. It stands in the scope's ``state``, of requests and of
WebSockets.
"""

import asyncio
import ssl
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

_PEER = "peer_certificate"


class Certified(H11Protocol):
    """uvicorn's protocol; what it upgrades to a WebSocket inherits its state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        leaf = None if tls is None else tls.getpeercert(binary_form=True)
        self.app_state = {**self.app_state, _PEER: leaf}


def certificate_of(scope: Scope) -> bytes | None:
    """Return the certificate (DER) that a client has proved to hold the key of; None: it showed none."""
    state: dict[str, Any] = scope.get("state") or {}
    return state.get(_PEER)
