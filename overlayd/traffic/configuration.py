"""HAProxy's configuration file for a layout, with the servers that it begins with. Pure.

It bears a digest of the layout, by which a HAProxy that runs is known to need a reload or not.
Called by `haproxy`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from overlayd.traffic.listeners import Layout, Listener
from overlayd.traffic.servers import WAKER, Server, host_port

FORM: Final = 1
"""Raised with each change of what is rendered: a HAProxy that runs with an older form is reloaded once."""
CONNECT_MS: Final = 3000
"""A segment that is lost on the way is sent again after one second, and after three."""
CHECK_MS: Final = 1000
"""Between two tries whether a server accepts connections."""
CHECK_AGAIN_MS: Final = 300
"""Where they begin to have another result: two that fail take a server out."""
HARD_STOP: Final = "1h"
"""After a reload connections that were there go on with the process before; for so long."""
MOST_DESCRIPTORS: Final = 40_000
"""Two for each connection. Fewer where the host allows fewer."""
MOST_GROUPS: Final = 1000
"""Of users, that are counted apart."""
NO_GROUP: Final = "-"
_PREFIXES_A_LINE = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where HAProxy's files and sockets are, and whom it runs as (None: as who starts it)."""

    directory: Path
    user: str | None

    @property
    def file(self) -> Path:
        return self.directory / "haproxy.cfg"

    @property
    def runtime_socket(self) -> Path:
        return self.directory / "haproxy.sock"

    @property
    def master_socket(self) -> Path:
        return self.directory / "haproxy-master.sock"

    @property
    def pid_file(self) -> Path:
        return self.directory / "haproxy.pid"

    @property
    def groups_file(self) -> Path:
        return self.directory / "groups.map"

    def waker_socket(self, proxy: str) -> Path:
        """Where requests of a route are held. Short: a path of a socket has 107 bytes."""
        return self.directory / "waker" / hashlib.sha256(proxy.encode()).hexdigest()[:16]


def digest(layout: Layout) -> str:
    """Return what tells a layout from others."""
    return hashlib.sha256(msgspec.json.encode((FORM, layout))).hexdigest()


def digest_of(information: str) -> str | None:
    """Return the digest of the layout that a HAProxy runs with, of its ``show info``."""
    lines = (line.partition(": ") for line in information.splitlines())
    return next((value for name, _, value in lines if name.lower() == "description"), None)


def render(layout: Layout, servers: Mapping[str, Sequence[Server]], place: Place) -> str:
    """Return the file. ``servers`` are the slots of each proxy."""
    parts = _global(layout, place)
    for listener in layout.listeners:
        parts += ["", *_listen(listener, servers[listener.proxy], place, bool(layout.groups))]
        parts += _tables(listener, bool(layout.groups))
    return "\n".join(parts) + "\n"


def server_options(listener: Listener) -> str:
    """What each server of a route has: it is watched by what users see of it, and by trying to connect."""
    watched = "layer7" if listener.http else "layer4"
    rise = 1 + max(0, listener.eject_ms - CHECK_MS) // CHECK_AGAIN_MS
    return (
        f"check inter {CHECK_MS}ms fastinter {CHECK_AGAIN_MS}ms fall 2 rise {rise}"
        f" observe {watched} error-limit {listener.errors} on-error mark-down"
    )


def rate_table(proxy: str) -> str:
    """The name of the table with a route's rate."""
    return f"{proxy}:rate"


def group_table(proxy: str) -> str:
    """The name of the table with what each group of users asked of a route."""
    return f"{proxy}:groups"


def render_groups(layout: Layout) -> str:
    """Return the file that maps the addresses of users to their groups."""
    return "".join(f"{prefix} {group}\n" for prefix, group in layout.groups)


def _global(layout: Layout, place: Place) -> list[str]:
    identity = [] if place.user is None else [f"    user {place.user}", f"    group {place.user}"]
    return [
        "global",
        f"    description {digest(layout)}",
        *identity,
        "    log /dev/log daemon notice",
        f"    stats socket {place.runtime_socket} mode 600 level admin expose-fd listeners",
        "    stats timeout 1m",
        f"    fd-hard-limit {MOST_DESCRIPTORS}",
        f"    hard-stop-after {HARD_STOP}",
        "    spread-checks 20",
        "",
        "defaults",
        "    log global",
        "    option contstats",
        f"    timeout connect {CONNECT_MS}ms",
    ]


def _listen(listener: Listener, slots: Sequence[Server], place: Place, counted: bool) -> list[str]:
    options = server_options(listener)
    return [
        f"listen {listener.proxy}",
        f"    bind {host_port(listener.address, listener.port)}",
        f"    mode {'http' if listener.http else 'tcp'}",
        "    balance roundrobin",
        f"    timeout client {listener.timeout_ms}ms",
        f"    timeout server {listener.timeout_ms}ms",
        f"    retries {listener.retries}",
        "    option redispatch 1",
        *(f"    {line}" for line in (_http if listener.http else _tcp)(listener, place, counted)),
        *(f"    {_server(slot, options)}" for slot in slots),
        f"    server {WAKER} unix@{place.waker_socket(listener.proxy)} backup",
    ]


def _http(listener: Listener, place: Place, counted: bool) -> list[str]:
    """What was not answered is asked of another server, if asking twice does no harm (RFC 9110, 9.2).

    A connection that is idle at a reload is not closed under a request that is on its way.
    """
    lines = [
        "option forwardfor",
        "option idle-close-on-response",
        "timeout http-request 10s",
        "retry-on conn-failure empty-response",
        "http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT DELETE TRACE }",
    ]
    if listener.users:
        lines += _users(listener)
        lines += ["http-request deny deny_status 403 unless users"]
    if counted:
        lines += [f"http-request track-sc1 {_group(place)} table {group_table(listener.proxy)}"]
    if listener.max_connections:
        lines += [f"http-request deny deny_status 503 if {{ be_conn gt {listener.max_connections} }}"]
    if listener.requests_per_second:
        lines += [
            f"http-request track-sc0 int(1) table {rate_table(listener.proxy)}",
            f"http-request deny deny_status 429 if {{ sc0_gpc0_rate ge {_rate(listener)[0]} }}",
            "http-request sc-inc-gpc0(0)",
        ]
    return lines


def _tcp(listener: Listener, place: Place, counted: bool) -> list[str]:
    lines: list[str] = []
    if listener.users:
        lines += _users(listener)
        lines += ["tcp-request connection reject unless users"]
    if counted:
        lines += [f"tcp-request connection track-sc1 {_group(place)} table {group_table(listener.proxy)}"]
    if listener.max_connections:  # the one that asks is not counted yet, other than with HTTP
        lines += [f"tcp-request connection reject if {{ be_conn ge {listener.max_connections} }}"]
    if listener.requests_per_second:
        lines += [
            f"tcp-request connection track-sc0 int(1) table {rate_table(listener.proxy)}",
            f"tcp-request connection reject if {{ sc0_gpc0_rate ge {_rate(listener)[0]} }}",
            "tcp-request connection sc-inc-gpc0(0)",
        ]
    return lines


def _users(listener: Listener) -> list[str]:
    """Lines of a configuration have 64 words at most; those of one name are alternatives."""
    return [
        f"acl users src {' '.join(listener.users[start : start + _PREFIXES_A_LINE])}"
        for start in range(0, len(listener.users), _PREFIXES_A_LINE)
    ]


def _group(place: Place) -> str:
    return f"src,map_ip({place.groups_file},{NO_GROUP})"


def _rate(listener: Listener) -> tuple[int, int]:
    """So many requests within so many milliseconds."""
    rate = listener.requests_per_second
    return (round(rate), 1000) if rate >= 1 else (1, round(1000 / rate))


def _server(slot: Server, options: str) -> str:
    kind = " backup" if slot.backup else ""
    empty = " disabled" if slot.empty else ""
    return (
        f"server {slot.name} {host_port(slot.address, slot.port)}{kind} weight {slot.weight} {options}{empty}"
    )


def _tables(listener: Listener, counted: bool) -> list[str]:
    lines: list[str] = []
    if listener.requests_per_second:
        lines += [
            f"backend {rate_table(listener.proxy)}",
            f"    stick-table type integer size 1 store gpc0_rate({_rate(listener)[1]}ms)",
        ]
    if counted:
        lines += [
            f"backend {group_table(listener.proxy)}",
            f"    stick-table type string len 128 size {MOST_GROUPS}"
            " store http_req_cnt,conn_cnt,bytes_in_cnt,bytes_out_cnt",
        ]
    return lines
