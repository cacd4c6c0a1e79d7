"""Documents that ``overlayctl`` makes itself, without an agent's or a controller's answer: what ``-o json``
prints of them. Pure.

Each carries ``schema``, its name and version, as those of `overlayd.protocol.local` do; a program that only
passes an agent's answer on does not load this.
"""

from typing import Any, Literal, TypeAlias

import msgspec


class Version(msgspec.Struct, frozen=True):
    """The version of this program."""

    version: str
    schema: str = "overlayd.version/1"


class Ping(msgspec.Struct, frozen=True):
    """Echoes over the overlay. RTTs in milliseconds, in the order of sending; None: no answer."""

    node: str
    address: str
    sent: int
    received: int
    loss_ratio: float | None
    rtt_min_ms: float | None
    rtt_mean_ms: float | None
    rtt_max_ms: float | None
    rtts_ms: tuple[float | None, ...]
    schema: str = "overlayd.ping/1"


class ConfigCheck(msgspec.Struct, frozen=True):
    """Whether ``file`` is a configuration; if not, what is wrong where.

    ``source`` is the file, an environment variable or a flag.
    """

    file: str
    ok: bool
    source: str | None = None
    key: str | None = None
    problem: str | None = None
    schema: str = "overlayd.config-check/1"


class BugReport(msgspec.Struct, frozen=True):
    """An archive that was written: its size and what is in it; ``addresses_hidden``: names stand for them."""

    file: str
    bytes: int
    contents: tuple[str, ...]
    addresses_hidden: bool
    schema: str = "overlayd.bugreport/1"


Verdict: TypeAlias = Literal["ok", "degraded", "failed"]
Kind: TypeAlias = Literal["controller", "clock", "tun", "capability", "port", "udp", "nat", "mtu"]
NatKind: TypeAlias = Literal[
    "none", "endpoint-independent", "address-restricted", "port-restricted", "symmetric"
]
"""``endpoint-independent``: it keeps its port for all who are called; whom it lets in could not be told. Of
those that do, ``address-restricted`` lets in whoever lives at an address that was called (or anybody),
``port-restricted`` only the very port.
"""


class NetCheckRow(msgspec.Struct, frozen=True):
    """One check, of the host or of one ``uplink``: what was found and, if it is not ok, what to do.

    What was measured: the least RTT to the reflector; the largest IP packet in bytes that went there and
    back; the NAT and where the uplink is seen; by how much this host's clock is ahead.
    """

    check: Kind
    uplink: str | None
    verdict: Verdict
    found: str
    advice: str | None = None
    rtt_ms: float | None = None
    mtu: int | None = None
    nat: NatKind | None = None
    seen_at: str | None = None
    clock_offset_s: float | None = None


class NetCheck(msgspec.Struct, frozen=True):
    """What blocks a join or a direct path; ``verdict`` is the worst of all ``checks``."""

    verdict: Verdict
    controller: str | None
    checks: tuple[NetCheckRow, ...]
    schema: str = "overlayd.netcheck/1"


Document: TypeAlias = Version | Ping | ConfigCheck | BugReport | NetCheck


def document(made: msgspec.Struct) -> dict[str, Any]:
    """Return what is printed of it."""
    return msgspec.to_builtins(made)
