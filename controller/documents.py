"""What ``overlayd-controller -o json`` prints: rows of what was made, listed or removed. Pure.

Keys are camelCase, as in the HTTP API, whose documents say more and are other ones (`controller.api.models`).
Called by `controller.cli`.
"""

from typing import TypeAlias

import msgspec


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """One line of a table."""


class NetworkRow(Row, frozen=True, rename="camel"):
    """A network that was made. ``pin``: what tokens name the CA by; ``tokens``: one for each node named."""

    network: str
    id: int
    state: str
    pin: str
    ipv4: str
    ipv6: str
    root_key: str
    tokens: dict[str, str] = {}


class NewTokenRow(Row, frozen=True, rename="camel"):
    token: str
    name: str
    expires: str


class TokenRow(Row, frozen=True, rename="camel"):
    """``id``: the beginning of the secret's digest. ``state``: unused, used, expired."""

    id: str
    name: str
    state: str
    relay: bool
    prefixes: tuple[str, ...]
    expires: str


class NodeRow(Row, frozen=True, rename="camel"):
    name: str
    id: int
    addresses: tuple[str, ...]
    relay: bool
    announced: tuple[str, ...]
    connected: bool
    last_seen: str | None


class RemovedRow(Row, frozen=True, rename="camel"):
    name: str
    id: int


class Made(msgspec.Struct, frozen=True):
    items: tuple[NetworkRow, ...]
    schema: str = "overlayd.controller.init/1"


class NewToken(msgspec.Struct, frozen=True):
    items: tuple[NewTokenRow, ...]
    schema: str = "overlayd.controller.token/1"


class Tokens(msgspec.Struct, frozen=True):
    items: tuple[TokenRow, ...]
    schema: str = "overlayd.controller.tokens/1"


class Nodes(msgspec.Struct, frozen=True):
    items: tuple[NodeRow, ...]
    schema: str = "overlayd.controller.nodes/1"


class Removed(msgspec.Struct, frozen=True):
    items: tuple[RemovedRow, ...]
    schema: str = "overlayd.controller.node-removed/1"


Document: TypeAlias = Made | NewToken | Tokens | Nodes | Removed
