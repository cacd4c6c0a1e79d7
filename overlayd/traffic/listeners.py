"""What HAProxy has to be configured for, which takes a reload to change: the listeners of the routes. Pure.

Weights and servers are no part of it (`servers`). Called by `traffic`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from overlayd.protocol.steering import SteeredRoute, UserPrefixes

_ALL = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Listener:
    """One route of TCP or HTTP. ``proxy`` is its name in HAProxy: no name of ours has a colon.

    ``errors`` in a row leave a server out for ``eject_ms``. Limits are of this node; 0: none. ``users`` are
    the prefixes that are served; empty: all.
    """

    proxy: str
    address: str
    port: int
    http: bool
    retries: int
    timeout_ms: int
    errors: int
    eject_ms: int
    max_connections: int
    requests_per_second: float
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """All that a reload changes. ``groups`` maps prefixes to the groups of users that are counted."""

    listeners: tuple[Listener, ...]
    groups: tuple[tuple[str, str], ...] = ()


def layout(routes: Iterable[SteeredRoute], groups: Iterable[UserPrefixes]) -> Layout:
    """Return what HAProxy has to be configured for, to carry those of ``routes`` that are not of UDP."""
    listeners = (_listener(route) for route in routes if route.protocol != "UDP")
    prefixes = ((prefix, group.name) for group in groups for prefix in group.prefixes or _ALL)
    return Layout(tuple(sorted(listeners, key=lambda one: one.proxy)), tuple(sorted(prefixes)))


def proxy_of(route: str) -> str:
    """``NAMESPACE/NAME`` as HAProxy's commands can say it: a slash parts proxy and server there."""
    return route.replace("/", ":")


def route_of(proxy: str) -> str:
    """The other way round."""
    return proxy.replace(":", "/")


def _listener(route: SteeredRoute) -> Listener:
    return Listener(
        proxy=proxy_of(route.name),
        address=route.address,
        port=route.port,
        http=route.protocol == "HTTP",
        retries=max(0, route.retries),
        timeout_ms=max(1, round(route.timeout_seconds * 1000)),
        errors=max(1, route.outlier.consecutive_errors),
        eject_ms=max(1, round(route.outlier.eject_seconds * 1000)),
        max_connections=route.max_connections,
        requests_per_second=route.requests_per_second,
        users=tuple(sorted(route.users)),
    )
