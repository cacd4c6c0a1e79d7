"""Classes of service: what kind of traffic wants what of a path."""

import ipaddress
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from overlayd.model.repair import MODERATE, STRONG, THIN, Row


class Objective(StrEnum):
    """What a path is chosen for; ``weighted`` for several of the others at once, as an operator weighs
    them.
    """

    LATENCY = "latency"
    RELIABILITY = "reliability"
    COST = "cost"
    JITTER = "jitter"
    THROUGHPUT = "throughput"
    WEIGHTED = "weighted"


class RepairRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Up to ``loss_ratio`` send ``repair_ratio`` repair symbols per source symbol.

    It is of the part of the table for links that have time for ``rounds`` of sending a packet within the
    deadline, and flows that fill a ``window`` of as many packets; the engine takes the largest part that
    the link reaches. ``again`` are the coded symbols per packet that is sent again: where no further round
    fits, where one more does, and so on; the last entry holds beyond. Rows ascend in rounds, window and
    loss.
    """

    loss_ratio: float
    repair_ratio: float
    rounds: int = 1
    window: int = 1
    again: tuple[float, ...] = ()


class Bound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outside of this a path is bad for the class, and the agent leaves it without asking. None: no bound.

    ``rtt_ms`` is milliseconds; ``rtt_factor`` times the forecast the route was chosen with; ``loss_ratio``
    0..1 after repair; ``link_loss_ratio`` 0..1 before repair on any hop.
    """

    rtt_ms: float | None = None
    rtt_factor: float | None = 2.0
    loss_ratio: float | None = 0.02
    link_loss_ratio: float | None = 0.05


Weight = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
CodePoint = Annotated[int, msgspec.Meta(ge=0, le=63)]
PRIORITY_MAX = 0.9
"""What all classes together may have ahead of the others."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which packets are of a class: those that fit in all that is said. ``port`` and ``prefix`` are of either
    end; ``protocol`` is ``tcp``, ``udp`` or a number.
    """

    dscp: CodePoint | None = None
    protocol: Literal["tcp", "udp"] | Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    port: Port | None = None
    prefix: str | None = None
    source: str | None = None
    source_port: Port | None = None
    destination: str | None = None
    destination_port: Port | None = None

    def __post_init__(self) -> None:
        for key in ("prefix", "source", "destination"):
            if (text := getattr(self, key)) is not None:
                check_prefix(text, key)

    @property
    def protocol_number(self) -> int | None:
        """As in the IP header."""
        return _PROTOCOLS[self.protocol] if isinstance(self.protocol, str) else self.protocol


class HostRule(Rule, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A rule of one host, for packets that enter there; ``class`` is the name of one of the network's."""

    class_: str = msgspec.field(name="class")


_PROTOCOLS = {"tcp": 6, "udp": 17}


def check_prefix(text: str, key: str) -> None:
    """Raises ValueError, which names ``key``, unless ``text`` is a prefix as the engine takes it."""
    try:
        right = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'{key}: {text!r} is not a prefix such as "192.168.7.0/24"') from None
    if str(right) != text:
        raise ValueError(f"{key}: {text!r} has to be written {str(right)!r}")


class ServiceClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class. ``deadline_ms`` is the delay that repair may add; ``repair_cap_ratio`` bounds repair
    symbols per source symbol; with ``disjoint`` packets take a node-disjoint path too while the one in use is
    sick. ``in_order``: the egress puts packets of TCP and QUIC that were repaired late back in their place.

    ``weight`` is what it gets of a full link beside others; within ``priority_ratio`` of the link's rate it
    goes ahead of them. ``dscp`` are the code points that select the class, ``rules`` other packets, first.
    """

    name: str
    objective: Objective
    bound: Bound = Bound()
    deadline_ms: int | None = 100
    retransmit: bool = True
    repair: tuple[RepairRow, ...] = ()
    repair_cap_ratio: float = 0.2
    disjoint: bool = False
    in_order: bool = False
    weight: Weight = 1
    priority_ratio: Ratio = 0.0
    dscp: tuple[int, ...] = ()
    rules: tuple[Rule, ...] = ()


def _rows(table: tuple[Row, ...]) -> tuple[RepairRow, ...]:
    return tuple(
        RepairRow(loss, ratio, rounds, window, again) for rounds, window, loss, ratio, again in table
    )


_EARLY_CAP = 0.6
"""Symbols for a loss of 30 %. They cost less than the rounds of retransmission that they spare."""


def _early(rows: tuple[RepairRow, ...]) -> tuple[RepairRow, ...]:
    """For a class in order, where each missing packet holds back what is behind it: enough symbols for most
    to be restored without a round trip, and a second copy of those that are sent again.
    """
    return tuple(
        msgspec.structs.replace(
            row,
            repair_ratio=max(row.repair_ratio, _early_ratio(row.loss_ratio)),
            again=tuple(max(count, 1.0) for count in row.again or (1.0,)),
        )
        for row in rows
    )


def _early_ratio(loss_ratio: float) -> float:
    """Two symbols per packet lost, and at heavy loss a third more than are used up: the time that the code
    takes grows without bound as both come near each other.
    """
    used = loss_ratio / (1 - loss_ratio)
    return round(min(max(min(2 * loss_ratio, 0.1), used * 4 / 3), _EARLY_CAP), 3)


DEFAULT_CLASSES: tuple[ServiceClass, ...] = (
    ServiceClass(
        name="interactive",
        objective=Objective.LATENCY,
        deadline_ms=100,
        repair=_rows(MODERATE),
        weight=4,
        dscp=(18, 20, 22, 26),
    ),
    ServiceClass(
        name="realtime",
        objective=Objective.JITTER,
        bound=Bound(rtt_factor=1.5, loss_ratio=0.01, link_loss_ratio=0.03),
        deadline_ms=60,
        repair=_rows(THIN),
        repair_cap_ratio=1.15,
        weight=4,
        priority_ratio=0.3,
        dscp=(34, 36, 38, 40, 46),
    ),
    ServiceClass(
        name="bulk",
        objective=Objective.COST,
        bound=Bound(rtt_factor=4.0, loss_ratio=0.05, link_loss_ratio=0.1),
        deadline_ms=600,
        repair=_early(tuple(row for row in _rows(MODERATE) if row.rounds > 2)),
        repair_cap_ratio=_EARLY_CAP,
        in_order=True,
        dscp=(8, 10),
    ),
    ServiceClass(
        name="reliable",
        objective=Objective.RELIABILITY,
        deadline_ms=200,
        repair=_rows(STRONG),
        repair_cap_ratio=1.05,
        disjoint=True,
        weight=4,
        dscp=(24, 48),
    ),
)
"""Class 0 is what unmarked traffic gets. A class's index is its number on the wire."""
